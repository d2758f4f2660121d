/*
 * spi.h
 *		Transactions and SPI: the only door to the extension's own tables.
 */
#ifndef TENANCY_SPI_H
#define TENANCY_SPI_H

#include "executor/spi.h"

/* What spi_begin_as_* changed and spi_end puts back. */
typedef struct SpiScope
{
	Oid	 save_userid;
	int	 save_sec_context;
	int	 save_nestlevel;
	bool save_read_only;
} SpiScope;

extern void tenancy_tx_begin(const char *activity);
extern void tenancy_tx_commit(void);
extern void tenancy_tx_bound_locks(void);
extern void tenancy_tx_lock_timeout(int ms);
extern void tenancy_tx_abort(void);
/* False: a lock could not be had soon, and nothing was done. */
extern bool tenancy_tx_try(const char *activity, void (*work)(void *arg), void *arg);

extern Oid	tenancy_schema_oid(bool missing_ok);
extern bool tenancy_extension_exists(void);
extern void tenancy_spi_begin_as_owner(SpiScope *scope);
extern void tenancy_spi_begin_as_role(SpiScope *scope, Oid role, const char *search_path);
/* Only to read; every row or an error. */
extern void tenancy_spi_begin_reading(SpiScope *scope, Oid role, const char *schema,
									  const char *lock_timeout);
/* Neither role nor search_path change: statements must name the schemas of operators too. */
extern void tenancy_spi_begin_as_caller(SpiScope *scope);
extern void tenancy_spi_end(SpiScope *scope);
extern void tenancy_spi_begin_procedure(void);
extern void tenancy_spi_commit_procedure(void);
extern void tenancy_spi_end_procedure(void);

extern int		  tenancy_spi_exec(const char *sql, int nargs, Oid *types, Datum *values,
								   const char *nulls);
extern int		  tenancy_spi_exec_saved(SPIPlanPtr *plan, const char *sql, int nargs, Oid *types,
										 Datum *values, const char *nulls);
extern int		  tenancy_spi_query(const char *sql, int nargs, Oid *types, Datum *values);
extern int		  tenancy_spi_query_now(SPIPlanPtr *plan, const char *sql, int nargs, Oid *types,
										Datum *values);
extern SPIPlanPtr tenancy_spi_prepare(const char *sql, int nargs, Oid *types);
extern Portal	  tenancy_spi_open(const char *sql, int nargs, Oid *types, Datum *values);
extern Portal	  tenancy_spi_open_plan(SPIPlanPtr plan, Datum *values, const char *nulls);
extern bool		  tenancy_spi_next(Portal portal);
extern void		  tenancy_spi_script(const char *sql);
extern char		 *tenancy_spi_text(int row, int column);
extern int64	  tenancy_spi_int64(int row, int column);
extern Datum	  tenancy_spi_datum(int row, int column, bool *isnull);

#endif
