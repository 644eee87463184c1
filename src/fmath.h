/* fmath.h: elementary functions in double, ours so that the text never depends on a libm. Plain
 * multiplications and additions in a fixed order; errors are a few units in the last place. */
#ifndef BITNET_FMATH_H
#define BITNET_FMATH_H

double fmath_exp(double x);                        /* 0 below -745, inf above 709.78 */
double fmath_log(double x);                        /* x > 0, normal */
void fmath_sincos(double x, double *s, double *c); /* |x| <= 2^20 */
double fmath_pow(double base, double y);           /* base > 0: exp(y * log(base)) */

#endif
