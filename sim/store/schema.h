/* schema.sql as text, built into the program by sim/store/local.mk. */
#ifndef CLSA_STORE_SCHEMA_H
#define CLSA_STORE_SCHEMA_H

extern const char clsa_schema_sql[];

#endif
