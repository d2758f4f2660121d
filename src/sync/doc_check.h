/*
 * doc_check.h
 *		Whether a definition's documents can be made for the tenants there are.
 */
#ifndef TENANCY_DOC_CHECK_H
#define TENANCY_DOC_CHECK_H

/* Inside an owner's SPI scope, after the definition was written; throws if not. */
extern void doc_check_tenants(const char *blueprint, const char *table_name, const char *document);

#endif
