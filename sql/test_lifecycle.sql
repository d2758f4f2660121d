-- Lifecycle policies: what they may say, what they come to, and where they cannot be.
SELECT name, jsonb_pretty(phases) AS phases FROM tenancy.lifecycle_policy;
SELECT jsonb_pretty(tenancy.lifecycle_ilm('case_studies_ilm'));
SELECT jsonb_pretty(tenancy.lifecycle_ism('case_studies_ilm'));
-- Not every policy has everything.
SELECT tenancy.lifecycle_policy('short', '{"warm": {"after": "5m", "priority": 1}, "delete": {"after": "1h"}}');
SELECT tenancy.lifecycle_ilm('short'), tenancy.lifecycle_ism('short');
SELECT tenancy.lifecycle_policy('short', '{"hot": {"priority": 9}, "cold": {"after": "10s", "readonly": false, "nodes": "cold_1"}}');
SELECT tenancy.lifecycle_ilm('short'), tenancy.lifecycle_ism('short');
-- What is none.
\set VERBOSITY sqlstate
\set SHOW_CONTEXT never
SELECT tenancy.lifecycle_policy('Bad', '{"delete": {"after": "1d"}}');
SELECT tenancy.lifecycle_policy(NULL, '{"delete": {"after": "1d"}}');
\set VERBOSITY default
SELECT tenancy.lifecycle_policy('bad', '[]');
SELECT tenancy.lifecycle_policy('bad', '{}');
SELECT tenancy.lifecycle_policy('bad', '{"frozen": {}}');
SELECT tenancy.lifecycle_policy('bad', '{"hot": 1}');
SELECT tenancy.lifecycle_policy('bad', '{"hot": {"after": "1d"}}');
SELECT tenancy.lifecycle_policy('bad', '{"warm": {}}');
SELECT tenancy.lifecycle_policy('bad', '{"warm": {"after": 30}}');
SELECT tenancy.lifecycle_policy('bad', '{"warm": {"after": "30 days"}}');
SELECT tenancy.lifecycle_policy('bad', '{"warm": {"after": "0d"}}');
SELECT tenancy.lifecycle_policy('bad', '{"warm": {"after": "30d", "readonly": "yes"}}');
SELECT tenancy.lifecycle_policy('bad', '{"warm": {"after": "30d", "replicas": -1}}');
SELECT tenancy.lifecycle_policy('bad', '{"warm": {"after": "30d", "replicas": 1.5}}');
SELECT tenancy.lifecycle_policy('bad', '{"warm": {"after": "30d", "nodes": "a b"}}');
SELECT tenancy.lifecycle_policy('bad', '{"warm": {"after": "30d", "priority": "high"}}');
SELECT tenancy.lifecycle_policy('bad', '{"warm": {"after": "30d"}, "cold": {"after": "720h"}}');
SELECT tenancy.lifecycle_policy('bad', '{"warm": {"after": "30d"}, "delete": {"after": "29d"}}');
SELECT tenancy.lifecycle_policy('bad', '{"delete": {"after": "30d", "replicas": 0}}');
SELECT tenancy.lifecycle_policy('bad', '{"hot": {"rollover": {}}}');
SELECT tenancy.lifecycle_policy('bad', '{"hot": {"rollover": {"max_size": "50"}}}');
SELECT tenancy.lifecycle_policy('bad', '{"hot": {"rollover": {"max_docs": 0}}}');
SELECT tenancy.lifecycle_policy('bad', '{"hot": {"rollover": {"max_shards": 1}}}');
SELECT count(*) FROM tenancy.lifecycle_policy WHERE name = 'bad';
SELECT tenancy.lifecycle_ilm('bad');
SELECT tenancy.lifecycle_ism('bad');
-- Phases by age, and the settings of each.
SELECT age, tenancy.lifecycle_phase(phases, age), tenancy.lifecycle_settings(phases, tenancy.lifecycle_phase(phases, age))
  FROM tenancy.lifecycle_policy, unnest('{-1 day,0,29 days 23:59:59,30 days,89 days,90 days,364 days,365 days,10 years}'::interval[]) age
 WHERE name = 'case_studies_ilm' ORDER BY age;
SELECT tenancy.lifecycle_phase('{"delete": {"after": "1h"}}', age) FROM unnest('{59 minutes,1 hour}'::interval[]) age;
-- Where documents would be duplicated, refused or lost.
SELECT p.name, placement, append_only, tenancy.lifecycle_refusal(phases, placement, append_only)
  FROM (VALUES ('rollover', '{"hot": {"rollover": {"max_age": "1d"}}}'::jsonb), ('readonly', '{"cold": {"after": "1d", "readonly": true}}'), ('delete', '{"delete": {"after": "1d"}}'),
        ('harmless', '{"hot": {"priority": 1}, "warm": {"after": "1d", "readonly": false, "replicas": 0, "nodes": "warm"}}')) p (name, phases),
       unnest('{dedicated,shared,monthly}'::text[]) placement, unnest('{f,t}'::bool[]) append_only ORDER BY 1, 2, 3;
SELECT tenant_blueprint_add('l', 1, 'CREATE TABLE event (id int PRIMARY KEY)');
SELECT tenant_sync_table('l', 'event', 'event');
SELECT tenancy.lifecycle_attach('l', 'event', 'case_studies_ilm');
SELECT tenancy.lifecycle_attach('l', 'event', 'case_studies_ilm', true);
SELECT tenancy.lifecycle_policy('once', '{"warm": {"after": "1d", "readonly": true}, "delete": {"after": "2d"}}');
SELECT tenancy.lifecycle_attach('l', 'event', 'once');
SELECT tenancy.lifecycle_attach('l', 'event', 'once', true);
SELECT tenancy.lifecycle_attach('l', 'event', 'short');
SELECT tenancy.lifecycle_attach('l', 'event', 'bad');
SELECT tenancy.lifecycle_attach('l', 'nothing', 'short');
SELECT tenancy.lifecycle_attach('x', 'event', 'short');
SELECT tenancy.lifecycle_attach('l', NULL, 'short');
SELECT * FROM tenancy.lifecycle_attachment;
-- One that is in use.
SELECT tenancy.lifecycle_policy('short', '{"delete": {"after": "1d"}}');
SELECT tenancy.lifecycle_policy('short', '{"hot": {"priority": 10}}');
SELECT tenancy.lifecycle_policy('short', NULL);
SELECT tenant_create('el', 'l') > 0 AS created;
SELECT tenant, index_type, policy, phase, applied, last_error FROM tenancy.lifecycle_index WHERE tenant = 'el';
CREATE ROLE lifecycle_admin ROLE CURRENT_USER;
GRANT tenancy_admin TO lifecycle_admin;
SET ROLE lifecycle_admin;
SELECT tenancy.lifecycle_attach('l', 'event', 'short');
SELECT tenancy.lifecycle_detach('l', 'event');
SELECT tenancy.lifecycle_policy('another', '{"hot": {"priority": 10}}');
SELECT policy FROM tenancy.lifecycle_index WHERE tenant = 'el';
RESET ROLE;
SET ROLE tenancy_operator;
SELECT policy FROM tenancy.lifecycle_index WHERE tenant = 'el';
SELECT tenancy.lifecycle_policy('another', NULL);
RESET ROLE;
SELECT tenancy.lifecycle_detach('l', 'event'), tenancy.lifecycle_detach('l', 'event');
SELECT tenancy.lifecycle_policy('short', NULL), tenancy.lifecycle_policy('another', NULL), tenancy.lifecycle_policy('once', NULL);
SELECT name FROM tenancy.lifecycle_policy;
SELECT tenant_drop('el', purge => true);
DROP ROLE lifecycle_admin;
