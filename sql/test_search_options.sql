-- What tenant_search and tenant_search_dsl refuse, whichever engine there is.
\set VERBOSITY terse
SELECT tenant_create('search-options') > 0;
CREATE FUNCTION public.refusal(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
    hint text;
BEGIN
    EXECUTE 'SELECT ' || call;
    RETURN 'allowed';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' | ', SQLSTATE || ' ' || SQLERRM, nullif(detail, ''), nullif(hint, ''));
END $$;
CREATE FUNCTION public.refused(form text, VARIADIC parts text[]) RETURNS TABLE (part text, refusal text) LANGUAGE sql VOLATILE AS
    'SELECT p, public.refusal(format(form, p)) FROM unnest(parts) p';

BEGIN;
SELECT tenant_use('search-options');
\x
-- options
SELECT * FROM public.refused('tenant_search(''x'', options => %L)',
    '{"nope": 1}', '{"sort": "full_text"}', '{"sort": "nope desc"}', '{"sort": []}', '{"sort": {"title": "up"}}', '{"sort": {"a": "asc", "b": "asc"}}', '{"sort": [["newest"]]}',
    '{"facets": ["full_text"]}', '{"facets": {"industry": 0}}', '{"facets": {"industry": {"size": 5, "x": 1}}}', '{"facets": ["industry", "industry"]}', '{"facets": true}',
    '{"fields": {"title": 0}}', '{"fields": {"title": "3"}}', '{"fields": ["budget_usd"]}', '{"fields": ["ti*"]}', '{"fields": []}',
    '{"highlight": ["*"]}', '{"highlight": {"script": "x"}}', '{"highlight": {"fragments": 1.5}}', '{"fuzzy": "AUTO"}', '{"min_score": 0}',
    '{"source": ["*"]}', '{"source": {"title": true}}', '{"total": 0}', '{"total": "many"}', '{"after": 1}', '{"after": "x"}', '{"hydrate": 1}', '{"suggest": []}');
SELECT public.refusal($$tenant_search('x', page => 2, options => '{"after": "x"}')$$);
SELECT public.refusal($$tenant_search('x', page => 11, page_size => 1000)$$);
SELECT public.refusal($$tenant_search_rows('x', options => '{"facets": "industry"}')$$);
SELECT public.refusal($$tenant_search_rows('x', size => 1001)$$);
-- a null is the default
SELECT public.refusal($$tenant_search('x', options => '{"after": null, "sort": null, "facets": null, "total": null, "source": null}')$$);
-- filters
SELECT * FROM public.refused('tenant_search(NULL, filters => %L)',
    '{"full_text": "x"}', '{"nope": 1}', '{"_id": "1"}', '{"industry": {}}', '{"industry": {"eq": 1}}', '{"industry": {"gt": {}}}', '{"industry": {"not": {"not": 1}}}',
    '{"industry": {"not": {}}}', '{"industry": {"exists": 1}}', '{"industry": [[1]]}', '{"industry": [null]}', '{"industry": {"terms": {"index": "x"}}}');
-- what is too much
SELECT * FROM public.refused('tenant_search(repeat(%L, 10000))', 'x', 'é', 'xx');
SELECT * FROM public.refused('tenant_suggest(repeat(%L, 10000))', 'x', 'xx');
SELECT public.refusal($$tenant_search('x', filters => jsonb_build_object('industry', repeat('x', 17000000)))$$);
SELECT public.refusal($$tenant_search('x', options => jsonb_build_object('source', repeat('x', 17000000)))$$);
SELECT public.refusal($$tenant_search('x', filters => jsonb_build_object('industry', (SELECT jsonb_agg(n) FROM generate_series(1, 1001) n)))$$);
-- columns of the answer, whichever engine there is
SELECT * FROM public.refused('tenant_search(''x'', options => %L)', '{"source": "ti*", "engine": "postgresql"}', '{"source": "nope", "engine": "postgresql"}', '{"source": "title", "engine": "postgresql"}');
-- bodies: what is not known to heed the query
SELECT * FROM public.refused('tenant_search_dsl(%L)',
    '[]', '{"suggest": {}}', '{"runtime_mappings": {}}', '{"script_fields": {}}', '{"pit": {"id": "x"}}', '{"indices_boost": []}', '{"knn": {}}', '{"retriever": {}}', '{"rescore": {}}',
    '{"collapse": {"field": "industry"}}', '{"explain": true}', '{"profile": true}', '{"ext": {}}', '{"query": []}', '{"query": {"script": {}}}', '{"query": {"wrapper": {"query": "e30="}}}',
    '{"query": {"terms": {"industry": {"index": "other", "id": "1", "path": "x"}}}}', '{"query": {"more_like_this": {"like": [{"_index": "other", "_id": "1"}]}}}', '{"query": {"percolate": {}}}',
    '{"query": {"has_parent": {}}}', '{"query": {"has_child": {}}}', '{"query": {"geo_shape": {"x": {"indexed_shape": {"index": "other"}}}}}', '{"query": {"bool": {"must": [{"bool": {"filter": {"script": {}}}}]}}}',
    '{"query": {"nested": {"path": "x", "query": {"match_all": {}}, "inner_hits": {}}}}', '{"query": {"match": {"title": {"query": {"a": 1}}}}}', '{"query": {"bool": {"must": [[{"match_all": {}}]]}}}',
    '{"aggs": {"a": {"global": {}}}}', '{"aggs": {"a": {"significant_terms": {"field": "industry"}}}}', '{"aggs": {"a": {"terms": {"field": "industry", "min_doc_count": 0}}}}',
    '{"aggs": {"a": {"terms": {"script": "x"}}}}', '{"aggs": {"a": {"sum": {"field": "x", "script": {}}}}}', '{"aggs": {"a": {"filter": {"match_all": {}}, "aggs": {"b": {"global": {}}}}}}',
    '{"aggs": {"a": {"filters": {"filters": {"x": {"wrapper": {}}}}}}}', '{"aggs": {"a": 1}}', '{"sort": {"_script": {}}}', '{"sort": [{"title": {"nested": {"filter": {}}}}]}',
    '{"highlight": {"fields": {"title": {"highlight_query": {}}}}}', '{"highlight": {"highlight_query": {"script": {}}}}', '{"post_filter": {"script": {}}}', '{"search_after": {"a": 1}}');
SELECT left(public.refusal(format('tenant_search_dsl(%L)', '{"query":' || repeat('{"bool":{"must":', 200) || '{"match_all":{}}' || repeat('}}', 200) || '}')), 100);
SELECT public.refusal('tenant_search_dsl(NULL)');
-- what passes is refused only for want of a server
SELECT * FROM public.refused('tenant_search_dsl(%L)', '{}', '{"query": {"bool": {"must": {"match": {"title": "x"}}, "filter": [{"terms": {"industry": ["a"]}}]}}, "size": 1, "aggs": {"a": {"terms": {"field": "industry"}}}}');
\x
-- statements of the platform
INSERT INTO technologies (id, name) VALUES ('00000000-0000-0000-0000-000000000001', 'Kafka');
INSERT INTO case_studies (title, industry) VALUES ('Kafka in use', 'retail'), ('Kafka, Kafka, Kafka', 'finance');
SELECT get_technology_by_id('00000000-0000-0000-0000-000000000001') - 'updated_at';
SELECT get_technology_by_id('00000000-0000-0000-0000-000000000002') IS NULL AS unknown;
SELECT title, industry, score > 0 AS scored FROM search_case_studies('kafka', 1);
SELECT title FROM tenant_search_case_studies('kafka', filters => '{"industry": "retail"}');
-- temporary tables, which a session in a pool may have, are not the tenant's
CREATE TEMPORARY TABLE technologies AS SELECT '00000000-0000-0000-0000-000000000001'::uuid AS id, 'not this one' AS name;
CREATE TEMPORARY TABLE case_studies AS SELECT c.* FROM case_studies c WHERE false;
SELECT get_technology_by_id('00000000-0000-0000-0000-000000000001') ->> 'name';
SELECT title FROM search_case_studies('kafka', 1);
ROLLBACK;
SELECT public.refusal($$get_technology_by_id('00000000-0000-0000-0000-000000000001')$$);
SELECT public.refusal('search_case_studies(''x'')');
SELECT tenant_drop('search-options', purge => true);
DROP FUNCTION public.refused(text, text[]), public.refusal(text);
