/* scalar_element.c: the specification of what happens to single values between matrices. */
#include "kernels/expf.h"
#include "kernels/kernels.h"

static float sum_squares(const float *x, size_t n)
{
    float lane[32] = {0};
    for (size_t i = 0; i < n; i++) {
        lane[i % 32] += x[i] * x[i];
    }
    return fold_lanes(lane);
}

static void rmsnorm(float *y, const float *x, const float *gain, size_t n, float eps)
{
    float r = rms_factor(sum_squares(x, n), n, eps);
    for (size_t i = 0; i < n; i++) {
        y[i] = (x[i] * r) * gain[i];
    }
}

/* Largest |x|, at least QUANT_MIN_ABS. Compared as integers, which for magnitudes is the same
 * order with NaN above all: a NaN reaches the scale and so the output, never hides in q. */
static float max_abs(const float *x, size_t n)
{
    uint32_t max = float_bits(QUANT_MIN_ABS);
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = float_bits(x[i]) & 0x7fffffff;
        max = bits > max ? bits : max;
    }
    return bits_float(max);
}

static void finish_row(int8_t *q, int32_t *sum32, size_t n, size_t stride)
{
    memset(q + n, 0, stride - n);
    for (size_t j = 0; j < stride / 32; j++) {
        sum32[j] = 0;
        for (size_t i = 32 * j; i < 32 * j + 32; i++) {
            sum32[j] += q[i];
        }
    }
}

static void quantize(int8_t *q, int32_t *sum32, float *scale, const float *x, size_t n,
                     size_t stride, uint32_t group, int qmax)
{
    float limit = (float)qmax;
    size_t step = group ? group : n;
    for (size_t begin = 0; begin < n; begin += step) {
        size_t end = n - begin < step ? n : begin + step;
        float max = max_abs(x + begin, end - begin);
        float inverse = limit / max;
        *scale++ = max / limit;
        for (size_t i = begin; i < end; i++) {
            float v = x[i] * inverse;
            v = v > -limit ? v : -limit; /* NaN becomes -limit */
            v = v < limit ? v : limit;
            q[i] = (int8_t)round_even(v);
        }
    }
    finish_row(q, sum32, n, stride);
}

static void rmsnorm_quantize(int8_t *q, int32_t *sum32, float *scale, const float *x,
                             const float *gain, size_t n, size_t stride, uint32_t group, int qmax,
                             float eps)
{
    float r = rms_factor(sum_squares(x, n), n, eps);
    float limit = (float)qmax;
    size_t step = group ? group : n;
    for (size_t begin = 0; begin < n; begin += step) {
        size_t end = n - begin < step ? n : begin + step;
        uint32_t max_bits = float_bits(QUANT_MIN_ABS);
        for (size_t i = begin; i < end; i++) {
            uint32_t bits = float_bits((x[i] * r) * gain[i]) & 0x7fffffff;
            max_bits = bits > max_bits ? bits : max_bits;
        }
        float max = bits_float(max_bits);
        float inverse = limit / max;
        *scale++ = max / limit;
        for (size_t i = begin; i < end; i++) {
            float v = ((x[i] * r) * gain[i]) * inverse;
            v = v > -limit ? v : -limit;
            v = v < limit ? v : limit;
            q[i] = (int8_t)round_even(v);
        }
    }
    finish_row(q, sum32, n, stride);
}

static void quantize_sign(int8_t *q, int32_t *sum32, float *scale, const float *x, size_t n,
                          size_t stride)
{
    float lane[32] = {0};
    for (size_t i = 0; i < n; i++) {
        lane[i % 32] += fabsf(x[i]);
        q[i] = x[i] >= 0.0f ? 1 : -1;
    }
    *scale = fold_lanes(lane) / (float)n;
    finish_row(q, sum32, n, stride);
}

static void relu2_mul(float *y, const float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float g = 0.0f > gate[i] ? 0.0f : gate[i]; /* NaN stays */
        y[i] = (g * g) * up[i];
    }
}

static void silu_mul(float *y, const float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        y[i] = (gate[i] / (1.0f + exp_spec(-gate[i]))) * up[i];
    }
}

static void rope_half(float *x, const float *cos, const float *sin, size_t n_heads,
                      size_t head_dim, size_t n_rot)
{
    size_t half = n_rot / 2;
    for (size_t h = 0; h < n_heads; h++, x += head_dim) {
        for (size_t j = 0; j < half; j++) {
            float a = x[j], b = x[j + half];
            x[j] = a * cos[j] - b * sin[j];
            x[j + half] = b * cos[j] + a * sin[j];
        }
    }
}

static void rope_adjacent(float *x, const float *cos, const float *sin, size_t n_heads,
                          size_t head_dim, size_t n_rot)
{
    for (size_t h = 0; h < n_heads; h++, x += head_dim) {
        for (size_t j = 0; j < n_rot / 2; j++) {
            float a = x[2 * j], b = x[2 * j + 1];
            x[2 * j] = a * cos[j] - b * sin[j];
            x[2 * j + 1] = b * cos[j] + a * sin[j];
        }
    }
}

static void add(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        y[i] += x[i];
    }
}

static void mul(float *y, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        y[i] = a[i] * b[i];
    }
}

static void to_f16(uint16_t *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        y[i] = float_to_half(x[i]);
    }
}

void fill_scalar_element(struct element_kernels *e)
{
    e->rmsnorm = rmsnorm;
    e->quantize = quantize;
    e->rmsnorm_quantize = rmsnorm_quantize;
    e->quantize_sign = quantize_sign;
    e->relu2_mul = relu2_mul;
    e->silu_mul = silu_mul;
    e->rope_half = rope_half;
    e->rope_adjacent = rope_adjacent;
    e->add = add;
    e->mul = mul;
    e->to_f16 = to_f16;
}
