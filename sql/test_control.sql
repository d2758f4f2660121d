-- tenancy.pause and tenancy.resume: what they take, who may call them, what they remember.
\set VERBOSITY terse
SELECT tenant_blueprint_add('control_test', 1, 'CREATE TABLE t (id bigint PRIMARY KEY)');
SELECT tenant_create('control_one', 'control_test') > 0;

-- arguments
SELECT tenancy.pause(NULL);
SELECT tenancy.resume(NULL, 'control_one');
SELECT tenancy.pause('');
SELECT tenancy.pause('Search');
SELECT tenancy.resume('redis');
SELECT tenancy.pause('search', 'nobody');
SELECT tenancy.resume('cache', '');
SELECT sink, tenant, state FROM tenancy.sync_paused;

-- once, and each by itself; what is resumed goes when the sink has caught up, if there is a worker
BEGIN;
SELECT tenancy.pause('search'), tenancy.pause('search', NULL), tenancy.pause(tenant => 'control_one', sink => 'search'), tenancy.pause('cache', 'control_one');
SELECT sink, tenant, state, paused_by = current_user, paused_at <= now() FROM tenancy.sync_paused ORDER BY 1, 2;
SELECT tenancy.resume('cache'), tenancy.resume('search'), tenancy.resume('search');
SELECT sink, tenant, state FROM tenancy.sync_paused ORDER BY 1, 2;
SELECT tenancy.pause('search'), tenancy.resume('search', 'control_one');
SELECT sink, tenant, state FROM tenancy.sync_paused ORDER BY 1, 2;
ROLLBACK;
SELECT sink, tenant, state FROM tenancy.sync_paused;

-- a tenant that is dropped
BEGIN;
SELECT tenancy.pause('search', 'control_one');
SELECT tenant_drop('control_one');
SELECT sink, tenant, state FROM tenancy.sync_paused;
SELECT tenancy.resume('search', 'control_one');
ROLLBACK;
BEGIN;
SELECT tenancy.pause('search', 'control_one');
SELECT tenant_drop('control_one', purge => true);
SELECT count(*) FROM tenancy.sync_pause;
ROLLBACK;

-- operators only
CREATE ROLE control_operator IN ROLE tenancy_operator;
CREATE ROLE control_app IN ROLE tenancy_app;
BEGIN;
SET LOCAL ROLE control_operator;
SELECT tenancy.pause('search'), tenancy.resume('search');
SELECT sink, tenant, state, paused_by FROM tenancy.sync_paused;
SELECT FROM tenancy.sync_pause;
ROLLBACK;
SET ROLE control_app;
SELECT tenancy.pause('search');
SELECT tenancy.resume('search');
SELECT sink FROM tenancy.sync_paused;
RESET ROLE;
DROP ROLE control_operator, control_app;
SELECT tenant_drop('control_one', purge => true);
