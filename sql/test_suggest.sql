-- tenant_suggest without a search server: arguments, what matches, privileges.
\set VERBOSITY terse
SELECT tenant_suggest('x');
SELECT tenant_create('suggest-test') > 0, tenant_create('suggest-other') > 0;
INSERT INTO "tenant_suggest-test".case_studies (title, customer_company, industry, technologies) VALUES
    ('Kafka migration', 'Acme', 'retail', '["kafka", "Linux"]'), ('Migrating to Kafka', 'ACME two', 'banking', '["kafkacat", 3, null]'),
    ('Kafka', 'acme three', NULL, '[]'), ('node-based kafka/streams_v2', NULL, 'retail', '[]'), ('Données élevées', 'Ünal', 'x', '[]'),
    (repeat('kafka ', 100), NULL, NULL, '[]'), ('', '', '', '[]');
INSERT INTO "tenant_suggest-other".case_studies (title) VALUES ('Kafka of another');
CREATE FUNCTION public.suggest(prefix text, options jsonb DEFAULT '{"engine": "postgresql"}', size integer DEFAULT 10) RETURNS jsonb LANGUAGE sql VOLATILE RETURN
    jsonb_path_query_array(tenant_suggest(prefix, 'case_studies', size, options), '$.suggestions[*].text');
BEGIN;
SELECT tenant_use('suggest-test');
\set ON_ERROR_ROLLBACK on
-- the whole answer, beside the time
SELECT jsonb_pretty(tenant_suggest('kafka m') - 'took_ms');
SELECT suggest('kaf'), suggest('KAFKA MIG'), suggest('kafka mi', size => 1), suggest('mig'), suggest('migration kaf'), suggest('based ka'), suggest('v2'), suggest('donn'), suggest('ÉLEV');
SELECT suggest(''), suggest('  '), suggest(NULL), suggest('+-'), suggest('kafkas'), suggest('migrat ka');
SELECT suggest(''':* | & ! ( \ % _ <->'), suggest('kafka'' OR true --'), suggest(repeat('kafka ', 1000)), suggest(repeat('k', 10000));
-- fields
SELECT suggest('acme', '{"fields": "customer_company"}'), suggest('two', '{"fields": "customer_company"}'), suggest('K', '{"fields": ["technologies"]}'), suggest('ünal', '{"fields": ["title", "customer_company"]}');
SELECT suggest('k', '{"fields": ["nope"]}');
SELECT suggest('k', '{"fields": ["nope"], "engine": "postgresql"}');
SELECT suggest('k', '{"fields": ["search_vector"]}');
SELECT suggest('1', '{"fields": ["timeline_weeks"]}');
SELECT suggest('k', '{"fields": []}');
SELECT suggest('k', '{"fields": [1]}');
-- filters, options, size
SELECT suggest('kaf', '{"filters": {"industry": ["retail"]}}'), suggest('kaf', '{"filters": {"industry": null}}'), suggest('kaf', '{"filters": null, "fields": null, "engine": null}');
SELECT suggest('kaf', '{"filters": {"full_text": "x"}}');
SELECT suggest('kaf', '{"filters": 1}');
SELECT suggest('kaf', '{"engine": "mysql"}');
SELECT suggest('kaf', '{"engine": "server"}');
SELECT suggest('kaf', '{"limit": 1}');
SELECT suggest('kaf', '[]');
SELECT suggest('kaf', size => 0);
SELECT suggest('kaf', size => 101);
SELECT tenant_suggest('k', 'nothing');
ROLLBACK;
BEGIN;
SELECT tenant_use('suggest-other');
SELECT suggest('kaf');
ROLLBACK;

-- privileges and row-level security are the caller's
CREATE ROLE regress_tenancy_typist IN ROLE tenancy_app;
BEGIN;
SELECT tenant_use('suggest-test');
REVOKE SELECT ON case_studies FROM tenancy_app;
SET LOCAL ROLE regress_tenancy_typist;
\set ON_ERROR_ROLLBACK on
SELECT suggest('kaf');
RESET ROLE;
GRANT SELECT ON case_studies TO tenancy_app;
ALTER TABLE case_studies ENABLE ROW LEVEL SECURITY;
CREATE POLICY retail ON case_studies TO tenancy_app USING (industry = 'retail');
SET LOCAL ROLE regress_tenancy_typist;
SELECT suggest('kaf');
ROLLBACK;
DROP ROLE regress_tenancy_typist;
DROP FUNCTION public.suggest(text, jsonb, integer);
SELECT tenant_drop('suggest-test', purge => true), tenant_drop('suggest-other', purge => true);
