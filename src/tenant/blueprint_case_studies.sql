-- The shipped blueprint: a library of case studies and the technologies in them.

-- Parents are not foreign keys: pg_dump warns, on every run, of an extension's table that refers to itself.
CREATE TABLE @extschema@.technology_taxonomy (
    id uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(),
    name text NOT NULL,
    parent_id uuid,
    category text NOT NULL,
    synonyms text[] NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    UNIQUE NULLS NOT DISTINCT (name, parent_id)
);
COMMENT ON TABLE @extschema@.technology_taxonomy IS 'Shared by all tenants: the tree of technologies';
COMMENT ON COLUMN @extschema@.technology_taxonomy.parent_id IS 'Id of the technology above; null: a root';
COMMENT ON COLUMN @extschema@.technology_taxonomy.synonyms IS 'Other names of the same technology';
CREATE INDEX technology_taxonomy_parent ON @extschema@.technology_taxonomy (parent_id);
CREATE INDEX technology_taxonomy_category ON @extschema@.technology_taxonomy (category);
CREATE INDEX technology_taxonomy_synonyms ON @extschema@.technology_taxonomy USING gin (synonyms);

CREATE TABLE @extschema@.industry_classifications (
    system text NOT NULL,
    code text NOT NULL,
    name text NOT NULL,
    parent_code text,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    PRIMARY KEY (system, code)
);
COMMENT ON TABLE @extschema@.industry_classifications IS 'Shared by all tenants: industries by code';
COMMENT ON COLUMN @extschema@.industry_classifications.system IS 'Which classification the code is from, such as NAICS';
COMMENT ON COLUMN @extschema@.industry_classifications.parent_code IS 'Code of the industry above, in the same system; null: a root';
CREATE INDEX industry_classifications_parent ON @extschema@.industry_classifications (system, parent_code);
CREATE INDEX industry_classifications_name ON @extschema@.industry_classifications (name);

REVOKE ALL ON @extschema@.technology_taxonomy, @extschema@.industry_classifications FROM PUBLIC;
GRANT SELECT ON @extschema@.technology_taxonomy, @extschema@.industry_classifications TO tenancy_app;
GRANT SELECT, INSERT, UPDATE, DELETE
    ON @extschema@.technology_taxonomy, @extschema@.industry_classifications TO tenancy_admin;
SELECT pg_catalog.pg_extension_config_dump('@extschema@.technology_taxonomy', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.industry_classifications', '');

SELECT @extschema@.tenant_blueprint_add('case_studies', 1, $step$
CREATE TABLE users (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    email text NOT NULL,
    name text NOT NULL,
    role text NOT NULL DEFAULT 'member',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX users_email ON users (email);

CREATE TABLE case_studies (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    title text NOT NULL,
    customer_company varchar(255),
    industry varchar(100),
    company_size varchar(50),
    technologies jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(technologies) = 'array'),
    timeline_weeks integer,
    budget_usd numeric(12,2),
    roi_percent numeric(6,2),
    full_text text,
    created_by uuid REFERENCES users,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    -- Only as much of a long text is searched as is sure to fit into a tsvector.
    search_vector tsvector GENERATED ALWAYS AS (
        setweight(to_tsvector('english', left(title, 20000)), 'A')
        || setweight(to_tsvector('english', coalesce(customer_company, '')), 'B')
        || setweight(to_tsvector('english', left(coalesce(full_text, ''), 200000)), 'D')
    ) STORED
);
CREATE INDEX case_studies_industry ON case_studies (industry);
CREATE INDEX case_studies_technologies ON case_studies USING gin (technologies);
CREATE INDEX case_studies_created_at ON case_studies (created_at);
CREATE INDEX case_studies_created_by ON case_studies (created_by);
CREATE INDEX case_studies_search_vector ON case_studies USING gin (search_vector);
-- The words of titles as they are typed, for suggestions and spelling.
CREATE INDEX case_studies_title_words ON case_studies
    USING gin (to_tsvector('simple', translate(left(title, 20000), '-./:@_', '      ')));

CREATE TABLE technologies (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL,
    vendor text,
    category text,
    features jsonb NOT NULL DEFAULT '[]',
    pricing_tiers jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(pricing_tiers) = 'array'),
    query_count bigint NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT now(),
    search_vector tsvector GENERATED ALWAYS AS (
        setweight(to_tsvector('english', left(name, 20000)), 'A')
        || setweight(to_tsvector('english', left(coalesce(vendor, ''), 20000)), 'B')
        || setweight(to_tsvector('english', left(coalesce(category, ''), 20000)), 'C')
    ) STORED
);
CREATE INDEX technologies_category ON technologies (category);
CREATE INDEX technologies_search_vector ON technologies USING gin (search_vector);
CREATE INDEX technologies_name_words ON technologies
    USING gin (to_tsvector('simple', translate(left(name, 20000), '-./:@_', '      ')));

GRANT SELECT, INSERT, UPDATE, DELETE ON users, case_studies, technologies TO tenancy_app;
DO $grant$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO tenancy_app', current_schema());
END
$grant$;
$step$);

SELECT @extschema@.tenant_sync_table(
    'case_studies', 'case_studies',
    index_type => 'case_studies',
    cache_keys => ARRAY['case_study:{id}'],
    cache_tags => ARRAY['case_studies', 'search'],
    mapping => $mapping$
{
  "settings": {
    "index": {"number_of_shards": 2, "gc_deletes": "1h"},
    "analysis": {
      "analyzer": {
        "case_study_analyzer": {
          "type": "custom",
          "tokenizer": "standard",
          "filter": ["lowercase", "stop", "snowball"]
        }
      }
    }
  },
  "mappings": {
    "dynamic": false,
    "_meta": {"search_fields": ["title^3", "full_text", "customer_company^2"]},
    "properties": {
      "id": {"type": "keyword"},
      "title": {
        "type": "text",
        "analyzer": "case_study_analyzer",
        "fields": {
          "raw": {"type": "keyword", "ignore_above": 256},
          "suggest": {"type": "text", "analyzer": "standard"}
        }
      },
      "customer_company": {"type": "keyword"},
      "industry": {"type": "keyword"},
      "company_size": {"type": "keyword"},
      "technologies": {"type": "keyword", "ignore_above": 1024},
      "timeline_weeks": {"type": "integer"},
      "budget_usd": {"type": "scaled_float", "scaling_factor": 100},
      "roi_percent": {"type": "float"},
      "full_text": {"type": "text", "analyzer": "case_study_analyzer"},
      "created_at": {"type": "date"},
      "updated_at": {"type": "date"}
    }
  }
}
$mapping$);

SELECT @extschema@.tenant_sync_table(
    'case_studies', 'technologies',
    index_type => 'technologies',
    cache_keys => ARRAY['technology:{id}'],
    cache_tags => ARRAY['technologies', 'search'],
    mapping => $mapping$
{
  "settings": {
    "index": {"number_of_shards": 2, "gc_deletes": "1h"}
  },
  "mappings": {
    "dynamic": false,
    "_meta": {"search_fields": ["name^3", "vendor^2", "category"]},
    "properties": {
      "id": {"type": "keyword"},
      "name": {"type": "text", "fields": {"raw": {"type": "keyword", "ignore_above": 1024}}},
      "vendor": {"type": "text", "fields": {"raw": {"type": "keyword", "ignore_above": 1024}}},
      "category": {"type": "keyword", "ignore_above": 1024},
      "features": {"type": "object", "enabled": false},
      "pricing_tiers": {
        "type": "nested",
        "dynamic": false,
        "properties": {
          "name": {"type": "keyword", "ignore_above": 1024},
          "price_usd": {"type": "scaled_float", "scaling_factor": 100, "ignore_malformed": true}
        }
      },
      "query_count": {"type": "long"},
      "updated_at": {"type": "date"}
    }
  }
}
$mapping$);
