/* read_speed.h: how fast this machine reads memory when it does nothing else: the yardstick for
 * decoding, which reads every weight once for each token. */
#ifndef BITNET_READ_SPEED_H
#define BITNET_READ_SPEED_H

#include "src/pool.h"

/* Reads the bytes once with all threads of the pool, each its own part; returns GB/s. The bytes
 * are 64-byte aligned. A later call of the same finds in cache what fits there. */
double read_speed(struct pool *p, const void *bytes, size_t n_bytes);

#endif
