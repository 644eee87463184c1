/* quantize.c: see quantize.h. */
#include "tools/quantize.h"

#include <math.h>
#include <string.h>

#include "kernels/unroll.h"

enum { RUN = 32 };

static size_t run_at(size_t i, size_t n)
{
    return n - i < RUN ? n - i : RUN;
}

/* n_run items of size bytes. A whole run, the usual case, is copied without a call. */
INLINE void copy_run(void *to, const void *from, size_t n_run, size_t size)
{
    if (n_run == RUN)
        memcpy(to, from, RUN * size);
    else
        memcpy(to, from, n_run * size);
}

void floats_from_f32(float *to, const uint8_t *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = load_f32(from + 4 * i);
}

void floats_from_bf16(float *to, const uint8_t *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = bf16_to_f32(load_u16(from + 2 * i));
}

/* A half's bits, moved to where a float has its own, are the value over 2^112: exact for
 * subnormals too. Only infinities and NaNs come out wrong, and runs that hold one are done again. */
void floats_from_f16(float *to, const uint8_t *from, size_t n)
{
    for (size_t i = 0; i < n; i += RUN) {
        size_t n_run = run_at(i, n);
        uint16_t half[RUN] = {0};
        uint32_t bits[RUN];
        float value[RUN];
        int n_special = 0;
        copy_run(half, from + 2 * i, n_run, sizeof *half); /* little-endian, as we are */
        for (size_t k = 0; k < RUN; k++) {
            bits[k] = (uint32_t)(half[k] & 0x7fff) << 13;
            n_special += (half[k] & 0x7c00) == 0x7c00;
        }
        memcpy(value, bits, sizeof value);
        for (size_t k = 0; k < RUN; k++)
            value[k] *= 0x1p112f;
        memcpy(bits, value, sizeof value);
        for (size_t k = 0; k < RUN; k++)
            bits[k] |= (uint32_t)(half[k] & 0x8000) << 16;
        copy_run(to + i, bits, n_run, sizeof *to);
        for (size_t k = 0; n_special && k < n_run; k++)
            to[i + k] = f16_to_f32(half[k]);
    }
}

bool floats_finite(const float *values, size_t n)
{
    float lanes[RUN] = {0}, sum = 0;
    for (size_t i = 0; i < n; i += RUN) {
        float v[RUN] = {0};
        copy_run(v, values + i, run_at(i, n), sizeof *v);
        for (size_t k = 0; k < RUN; k++)
            lanes[k] += v[k] * 0.0f; /* NAN for any that is not finite */
    }
    for (size_t k = 0; k < RUN; k++)
        sum += lanes[k];
    return sum == 0;
}

/* Magnitudes are in the order of their bits, with infinity and NANs above all others. */
float floats_most(const float *values, size_t n)
{
    int32_t lanes[RUN] = {0}, bits = 0;
    for (size_t i = 0; i < n; i += RUN) {
        int32_t v[RUN] = {0};
        copy_run(v, values + i, run_at(i, n), sizeof *v);
        for (size_t k = 0; k < RUN; k++) {
            int32_t m = v[k] & 0x7fffffff;
            lanes[k] = m > lanes[k] ? m : lanes[k];
        }
    }
    for (size_t k = 0; k < RUN; k++)
        bits = lanes[k] > bits ? lanes[k] : bits;
    float most;
    memcpy(&most, &bits, sizeof most);
    return most;
}

float quantize(int8_t *to, const float *values, size_t n, float inverse, float scale, int q_max)
{
    /* Adding 1.5 * 2^23 leaves a float no bits below one, so it rounds half to even. */
    const float magic = 12582912.0f, limit = (float)q_max;
    float lanes[RUN] = {0}, worst = 0;
    for (size_t i = 0; i < n; i += RUN) {
        size_t n_run = run_at(i, n);
        float v[RUN] = {0}, q[RUN];
        int32_t whole[RUN];
        int8_t code[RUN];
        copy_run(v, values + i, n_run, sizeof *v);
        for (size_t k = 0; k < RUN; k++) {
            float x = v[k] * inverse;
            x = x > -limit ? x : -limit; /* NaN, which the caller's scale shows, becomes -limit */
            x = x < limit ? x : limit;
            q[k] = x + magic - magic;
        }
        for (size_t k = 0; k < RUN; k++) {
            float e = fabsf(v[k] - q[k] * scale);
            lanes[k] = e > lanes[k] ? e : lanes[k];
        }
        for (size_t k = 0; k < RUN; k++)
            whole[k] = (int32_t)q[k];
        for (size_t k = 0; k < RUN; k++)
            code[k] = (int8_t)whole[k];
        copy_run(to + i, code, n_run, 1);
    }
    for (size_t k = 0; k < RUN; k++)
        worst = lanes[k] > worst ? lanes[k] : worst;
    return worst;
}
