/*
 * statement_vector.c
 *		Where words are looked for: the table's tsvector column, or one made on the fly.
 *
 * What a generated column is made of is read from its expression: which columns, with
 * which labels, and in which configuration.  A tsvector that others keep is taken as it is.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#include "catalog/pg_ts_config.h"
#include "common/errors.h"
#include "common/jsonb.h"
#include "search/statement.h"

#define TEXT_MAX 200000 /* characters of a column that are sure to fit into a tsvector */

/* A column in a tsvector. */
typedef struct Part
{
	AttrNumber column;
	int		   label; /* 0: A to 3: D */
} Part;

/* What an expression makes a tsvector of. */
typedef struct Parts
{
	List *list; /* of Part */
	Oid	  config;
	int	  label; /* where the walk is */
} Parts;

/* Weight of a label where nobody says so: as ts_rank has it. */
static const double default_boosts[STATEMENT_LABELS] = {1.0, 0.4, 0.2, 0.1};

/* Label that a setweight() gives. */
static int
label_of(FuncExpr *call)
{
	Node *label = lsecond(call->args);

	if (!IsA(label, Const) || ((Const *) label)->constisnull)
		return STATEMENT_LABELS - 1;
	return Min(
		Max(pg_toupper((unsigned char) DatumGetChar(((Const *) label)->constvalue)) - 'A', 0),
		STATEMENT_LABELS - 1);
}

/* Collects the columns below an expression. */
static bool
walk(Node *node, void *context)
{
	Parts *parts = context;
	Oid	 function = node != NULL && IsA(node, FuncExpr) ? ((FuncExpr *) node)->funcid : InvalidOid;
	int	 outer = parts->label;
	bool result;

	if (node == NULL)
		return false;
	if (IsA(node, Var) && ((Var *) node)->varattno > 0) /* tableoid is no column of it */
	{
		Part *part = palloc(sizeof(Part));

		part->column = ((Var *) node)->varattno;
		part->label = parts->label;
		parts->list = lappend(parts->list, part);
	}
	else if (function == F_SETWEIGHT_TSVECTOR_CHAR)
		parts->label = label_of((FuncExpr *) node);
	else if (function == F_TO_TSVECTOR_REGCONFIG_TEXT &&
			 IsA(linitial(((FuncExpr *) node)->args), Const))
		parts->config =
			DatumGetObjectId(((Const *) linitial(((FuncExpr *) node)->args))->constvalue);
	result = expression_tree_walker(node, walk, parts);
	parts->label = outer;
	return result;
}

/* Number of the first tsvector column, 0: none. */
static AttrNumber
find_vector_column(Relation table)
{
	TupleDesc desc = RelationGetDescr(table);

	for (int i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped &&
			TupleDescAttr(desc, i)->atttypid == TSVECTOROID)
			return i + 1;
	return 0;
}

/* Reads what a generated column is made of. */
static void
read_parts(Relation table, AttrNumber column, Parts *parts)
{
	TupleConstr *constr = RelationGetDescr(table)->constr;

	parts->label = STATEMENT_LABELS - 1;
	if (column == 0 || TupleDescAttr(RelationGetDescr(table), column - 1)->attgenerated == '\0')
		return;
	for (int i = 0; i < constr->num_defval; i++)
		if (constr->defval[i].adnum == column)
			(void) walk(stringToNode(constr->defval[i].adbin), parts);
}

/* SQL of a text search configuration. */
static char *
config_sql(Oid config)
{
	HeapTuple		  tuple = SearchSysCache1(TSCONFIGOID, ObjectIdGetDatum(config));
	Form_pg_ts_config form;
	char			 *name;

	if (!HeapTupleIsValid(tuple))
		return pstrdup("'pg_catalog.english'::pg_catalog.regconfig");
	form = (Form_pg_ts_config) GETSTRUCT(tuple);
	name =
		quote_qualified_identifier(get_namespace_name(form->cfgnamespace), NameStr(form->cfgname));
	ReleaseSysCache(tuple);
	return psprintf("%s::pg_catalog.regconfig", quote_literal_cstr(name));
}

/* Adds a field that a search looks into. */
static List *
add_field(List *fields, const char *name, const char *boost)
{
	SearchField *field = palloc(sizeof(SearchField));

	field->name = pstrdup(name);
	field->boost = pstrdup(boost);
	return lappend(fields, field);
}

/* The mapping's fields with their boosts. */
static List *
declared_fields(const SearchTarget *target)
{
	List *fields = NIL;

	for (int i = 0; target->search_fields != NULL && i < JsonContainerSize(target->search_fields);
		 i++)
	{
		JsonbValue *value = getIthJsonbValueFromContainer(target->search_fields, i);
		char	   *text = tenancy_jsonb_scalar(value);
		char	   *boost = text ? strchr(text, '^') : NULL;

		if (boost != NULL)
			*boost++ = '\0';
		if (text != NULL)
			fields = add_field(fields, text, boost ? boost : "1");
	}
	return fields;
}

/* The heavier one first. */
static int
compare_fields(const ListCell *a, const ListCell *b)
{
	double first = atof(((SearchField *) lfirst(a))->boost);
	double second = atof(((SearchField *) lfirst(b))->boost);

	return first > second ? -1 : first < second ? 1 : 0;
}

/* The column's label in the tsvector, -1: it is not in it, or others have the same one. */
static int
label_of_field(Relation table, const Parts *parts, const char *name)
{
	Form_pg_attribute column = statement_column(table, name);
	int				  label = -1;
	ListCell		 *lc;

	foreach (lc, parts->list)
		if (column != NULL && ((Part *) lfirst(lc))->column == column->attnum)
			label = ((Part *) lfirst(lc))->label;
	return label;
}

/* True if a label is that of other columns too. */
static bool
is_shared(Relation table, const Parts *parts, int label, List *fields)
{
	ListCell *part;
	ListCell *field;

	foreach (part, parts->list)
	{
		bool wanted = ((Part *) lfirst(part))->label != label;

		foreach (field, fields)
		{
			Form_pg_attribute column =
				statement_column(table, ((SearchField *) lfirst(field))->name);

			wanted |= column != NULL && column->attnum == ((Part *) lfirst(part))->column;
		}
		if (!wanted)
			return true;
	}
	return false;
}

/* Gives labels the boosts of their fields, the largest one becoming 1; false: none has any. */
static bool
boost_labels(Relation table, const Parts *parts, List *fields, double *boosts)
{
	double	  most = 0;
	ListCell *lc;

	memset(boosts, 0, sizeof(double) * STATEMENT_LABELS);
	foreach (lc, fields)
	{
		const SearchField *field = lfirst(lc);
		int				   label = label_of_field(table, parts, field->name);

		if (label >= 0)
			boosts[label] = Max(boosts[label], atof(field->boost));
		most = label >= 0 ? Max(most, atof(field->boost)) : most;
	}
	for (int i = 0; i < STATEMENT_LABELS && most > 0; i++)
		boosts[i] /= most;
	return most > 0;
}

/* True if the tsvector tells the fields from the other columns. */
static bool
tells_fields(Relation table, const Parts *parts, List *fields)
{
	ListCell *lc;

	foreach (lc, fields)
	{
		int label = label_of_field(table, parts, ((SearchField *) lfirst(lc))->name);

		if (label < 0 || is_shared(table, parts, label, fields))
			return false;
	}
	return true;
}

/* Writes a tsvector of the fields, the heavier ones with the heavier labels. */
static void
make_vector(Relation table, List *fields, Words *words)
{
	StringInfoData sql;
	int			   label = -1;
	const char	  *boost = "";
	double		   most = atof(((SearchField *) linitial(fields))->boost);
	ListCell	  *lc;

	initStringInfo(&sql);
	foreach (lc, fields)
	{
		const SearchField *field = lfirst(lc);

		if (statement_column(table, field->name) == NULL)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("option \"%s\" cannot have \"%s\"", "fields", field->name),
							errdetail("The table has no such column.")));
		if (strcmp(boost, field->boost) != 0)
			label = Min(label + 1, STATEMENT_LABELS - 1);
		boost = field->boost;
		words->boosts[label] = Max(words->boosts[label], atof(boost) / most);
		appendStringInfo(&sql,
						 "%spg_catalog.setweight(pg_catalog.to_tsvector(%s, "
						 "pg_catalog.\"left\"(COALESCE(CAST(%s AS pg_catalog.text), ''), %d)), "
						 "'%c')",
						 sql.len > 0 ? " OPERATOR(pg_catalog.||) " : "", words->config,
						 statement_name(field->name), TEXT_MAX, 'A' + label);
	}
	words->vector = psprintf("(%s)", sql.data);
	words->made = true;
}

/* Names of fields that are columns; those of the tsvector where none are declared. */
static List *
column_names(Relation table, List *fields, const Parts *parts)
{
	List	 *names = NIL;
	ListCell *lc;

	foreach (lc, fields)
		if (statement_column(table, ((SearchField *) lfirst(lc))->name) != NULL)
			names = lappend(names, ((SearchField *) lfirst(lc))->name);
	if (names != NIL)
		return names;
	foreach (lc, parts->list)
	{
		AttrNumber column = ((Part *) lfirst(lc))->column;

		names = lappend(
			names, pstrdup(NameStr(TupleDescAttr(RelationGetDescr(table), column - 1)->attname)));
	}
	return names;
}

/* Complains that there is nothing to search. */
static void
refuse_table(Relation table, const char *fallback)
{
	ereport(ERROR, (errcode(ERRCODE_TENANCY_SEARCH_UNAVAILABLE),
					errmsg("table \"%s\" cannot be searched in PostgreSQL",
						   RelationGetRelationName(table)),
					fallback ? errdetail("The search server was not used: %s.", fallback) : 0,
					errhint("Add a column of type tsvector, generated from the text columns.")));
}

/* Looks into the fields that the caller names. */
static void
use_fields(Relation table, const Parts *parts, List *fields, Words *words)
{
	char *end;

	if (words->vector == NULL || !tells_fields(table, parts, fields))
	{
		make_vector(table, fields, words);
		return;
	}
	(void) boost_labels(table, parts, fields, words->boosts);
	end = words->labels = palloc0(STATEMENT_LABELS + 1);
	for (int i = 0; i < STATEMENT_LABELS; i++)
		if (words->boosts[i] > 0)
			*end++ = 'A' + i;
}

/* Finds where to look for words; fallback says why the server was not used. */
void
statement_find_vector(Statement *statement, Words *words, const char *fallback)
{
	Relation   table = statement->table;
	Parts	   parts = {0};
	AttrNumber column = find_vector_column(table);
	List	  *fields = statement->request->fields ? list_copy(statement->request->fields)
												   : declared_fields(statement->target);

	read_parts(table, column, &parts);
	list_sort(fields, compare_fields);
	words->config = config_sql(parts.config);
	words->labels = pstrdup("");
	words->fields = column_names(table, fields, &parts);
	if (column > 0)
		words->vector =
			statement_name(NameStr(TupleDescAttr(RelationGetDescr(table), column - 1)->attname));
	if (statement->request->fields != NIL)
		use_fields(table, &parts, fields, words);
	else if (column == 0)
		refuse_table(table, fallback);
	else
	{
		bool known = boost_labels(table, &parts, fields, words->boosts);

		for (int i = 0; i < STATEMENT_LABELS; i++)
			if (!known || words->boosts[i] == 0)
				words->boosts[i] = default_boosts[i];
	}
}
