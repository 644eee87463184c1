/* unroll.h: UNROLL before a loop of at most eight constant steps over registers. Without it gcc -O2
 * and clang leave small arrays of vectors in memory, which costs a load and a store per multiply;
 * each knows only its own spelling, so this is the one line where compilers differ. */
#ifndef KERNELS_UNROLL_H
#define KERNELS_UNROLL_H

#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif

/* For functions whose last parameters are constants that shape their loops. */
#define INLINE static inline __attribute__((always_inline))

#endif
