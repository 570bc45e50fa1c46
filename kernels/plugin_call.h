/* plugin_call.h: one call into a plugin's process: memory of the region, request, verdict. Private to
 * kernels/plugin_*.c. */
#ifndef CLSA_KERNELS_PLUGIN_CALL_H
#define CLSA_KERNELS_PLUGIN_CALL_H

#include "kernels/plugin_host.h"

/* Begins a call: forgets the buffers of the last one. */
void plugin_begin(struct clsa_plugin_host *h);
/* An input of `rows` rows, *stride receives their distance; 0xff between and around them. NULL: the
 * region is full, and the call will say so. All inputs come before all outputs. */
void *plugin_input(struct clsa_plugin_host *h, size_t rows, size_t row_bytes, size_t align,
                   size_t *stride);
/* An output, its rows poisoned with 0xff and guarded. At most two a call. */
void *plugin_output(struct clsa_plugin_host *h, size_t rows, size_t row_bytes, size_t align,
                    size_t *stride);
/* Runs the kernel on `call`, whose pointers are the above's. Returns 0, CLSA_PLUGIN_UNSUPPORTED, or -1
 * with a fault. */
int plugin_run(struct clsa_plugin_host *h, size_t kernel, const void *call, size_t call_bytes);
/* Records a fault that the caller found. Returns -1. */
int plugin_fault(struct clsa_plugin_host *h, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
