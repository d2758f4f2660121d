/*
 * sql_column.h
 *		Columns of user tables as parameters of statements that are made here.
 */
#ifndef TENANCY_SQL_COLUMN_H
#define TENANCY_SQL_COLUMN_H

#include "fmgr.h"

typedef struct SqlColumn
{
	const char *name;
	Oid			type; /* domains looked through: their checks must not decide anything */
	int32		typmod;
	Oid			array; /* type of its arrays, InvalidOid: none */
	FmgrInfo	input;
	Oid			input_parameter;
	FmgrInfo	output;
	char	   *equal; /* operator, qualified; NULL: the type has none */
} SqlColumn;

/* Throws if the relation has no such column. */
extern void	 sql_column_find(SqlColumn *column, Oid relid, const char *name);
extern bool	 sql_column_value(SqlColumn *column, const char *text, Datum *value);
extern Datum sql_column_array(const SqlColumn *column, Datum *values, int n);
extern char *sql_type(Oid type, int32 typmod);

#endif
