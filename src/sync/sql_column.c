/*
 * sql_column.c
 *		Columns of user tables as parameters of statements that are made here.
 *
 * Operators and types are written with their schema: those of an extension may be
 * outside of the search_path, and a user may have others of the same name.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_operator.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "common/input.h"
#include "sync/sql_column.h"

/* OPERATOR(schema.name) of an operator; NULL: there is none. */
static char *
operator_name(Oid oid)
{
	HeapTuple		 tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(oid));
	Form_pg_operator form;
	char			*name;

	if (!HeapTupleIsValid(tuple))
		return NULL;
	form = (Form_pg_operator) GETSTRUCT(tuple);
	name = psprintf("OPERATOR(%s.%s)", quote_identifier(get_namespace_name(form->oprnamespace)),
					NameStr(form->oprname));
	ReleaseSysCache(tuple);
	return name;
}

/* Name of a type for a cast. */
char *
sql_type(Oid type, int32 typmod)
{
	return format_type_extended(type, typmod,
								FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY);
}

/* Describes a column of a relation. */
void
sql_column_find(SqlColumn *column, Oid relid, const char *name)
{
	AttrNumber attribute = get_attnum(relid, name);
	Oid		   collation;
	Oid		   function;
	bool	   varlena;

	if (attribute <= 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
						errmsg("column \"%s\" of relation \"%s\" does not exist", name,
							   get_rel_name(relid))));
	get_atttypetypmodcoll(relid, attribute, &column->type, &column->typmod, &collation);
	column->name = name;
	column->type = getBaseTypeAndTypmod(column->type, &column->typmod);
	column->array = get_array_type(column->type);
	column->equal = operator_name(lookup_type_cache(column->type, TYPECACHE_EQ_OPR)->eq_opr);
	getTypeInputInfo(column->type, &function, &column->input_parameter);
	fmgr_info(function, &column->input);
	getTypeOutputInfo(column->type, &function, &varlena);
	fmgr_info(function, &column->output);
}

/* A value from its text; false if no value of the column has it. */
bool
sql_column_value(SqlColumn *column, const char *text, Datum *value)
{
	return tenancy_input(&column->input, text, column->input_parameter, column->typmod, value);
}

/* An array of values of the column. */
Datum
sql_column_array(const SqlColumn *column, Datum *values, int n)
{
	int16 length;
	bool  by_value;
	char  align;

	get_typlenbyvalalign(column->type, &length, &by_value, &align);
	return PointerGetDatum(construct_array(values, n, column->type, length, by_value, align));
}
