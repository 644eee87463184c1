/* neon_element.c: scalar_element.c, 4 floats at a time, sums in 32 lanes of eight registers. What
 * is left over at the end goes through the specification's own scalar line, so it has its bits. */
#include "kernels/kernels.h"
#include "kernels/neon_math.h"

static float norm_factor(const float *x, size_t n, float eps)
{
    float32x4_t sum[8];
    zero_lanes(sum);
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        UNROLL for (size_t j = 0; j < 8; j++)
        {
            float32x4_t v = vld1q_f32(x + i + 4 * j);
            sum[j] = vaddq_f32(sum[j], vmulq_f32(v, v));
        }
    }
    float lane[32];
    store_lanes(lane, sum);
    for (; i < n; i++) {
        lane[i % 32] += x[i] * x[i];
    }
    return rms_factor(fold_lanes(lane), n, eps);
}

static void rmsnorm(float *y, const float *x, const float *gain, size_t n, float eps)
{
    float factor = norm_factor(x, n, eps);
    float32x4_t r = vdupq_n_f32(factor);
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        float32x4_t v = vmulq_f32(vld1q_f32(x + i), r);
        vst1q_f32(y + i, vmulq_f32(v, vld1q_f32(gain + i)));
    }
    for (; i < n; i++) {
        y[i] = (x[i] * factor) * gain[i];
    }
}

/* Zeros from n on, and the sums of 32; a pair is at most 254, so int16 holds them all. */
static void finish_row(int8_t *q, int32_t *sum32, size_t n, size_t stride)
{
    memset(q + n, 0, stride - n);
    for (size_t j = 0; j < stride / 32; j++) {
        int16x8_t pairs = vpaddlq_s8(vld1q_s8(q + 32 * j));
        sum32[j] = vaddlvq_s16(vpadalq_s8(pairs, vld1q_s8(q + 32 * j + 16)));
    }
}

/* 4 values to quantize: x, or (x * r) * gain. */
INLINE float32x4_t value(const float *x, const float *gain, float32x4_t r, const bool norm)
{
    float32x4_t v = vld1q_f32(x);
    return norm ? vmulq_f32(vmulq_f32(v, r), vld1q_f32(gain)) : v;
}

INLINE float value_1(const float *x, const float *gain, float r, const bool norm)
{
    return norm ? (*x * r) * *gain : *x;
}

INLINE float max_abs(const float *x, const float *gain, float factor, size_t n, const bool norm)
{
    const float32x4_t r = vdupq_n_f32(factor);
    uint32x4_t most = vdupq_n_u32(float_bits(QUANT_MIN_ABS));
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        uint32x4_t bits = vreinterpretq_u32_f32(value(x + i, gain + i, r, norm));
        most = vmaxq_u32(most, vandq_u32(bits, vdupq_n_u32(0x7fffffff)));
    }
    uint32_t max_bits = vmaxvq_u32(most);
    for (; i < n; i++) {
        uint32_t bits = float_bits(value_1(x + i, gain + i, factor, norm)) & 0x7fffffff;
        max_bits = bits > max_bits ? bits : max_bits;
    }
    return bits_float(max_bits);
}

INLINE int32x4_t round_4(float32x4_t v, float inverse, float limit)
{
    const float32x4_t top = vdupq_n_f32(limit), bottom = vdupq_n_f32(-limit);
    v = vmulq_f32(v, vdupq_n_f32(inverse));
    v = vbslq_f32(vcgtq_f32(v, bottom), v, bottom); /* NaN becomes -limit */
    v = vbslq_f32(vcltq_f32(v, top), v, top);
    return vcvtnq_s32_f32(v);
}

INLINE void quantize_span(int8_t *q, float *scale, const float *x, const float *gain, float factor,
                          size_t n, float limit, const bool norm)
{
    float max = max_abs(x, gain, factor, n, norm), inverse = limit / max;
    *scale = max / limit;
    const float32x4_t r = vdupq_n_f32(factor);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        int32x4_t a = round_4(value(x + i, gain + i, r, norm), inverse, limit);
        int32x4_t b = round_4(value(x + i + 4, gain + i + 4, r, norm), inverse, limit);
        vst1_s8(q + i, vmovn_s16(vcombine_s16(vmovn_s32(a), vmovn_s32(b))));
    }
    for (; i < n; i++) {
        float v = value_1(x + i, gain + i, factor, norm) * inverse;
        v = v > -limit ? v : -limit;
        v = v < limit ? v : limit;
        q[i] = (int8_t)round_even(v);
    }
}

static void quantize(int8_t *q, int32_t *sum32, float *scale, const float *x, size_t n,
                     size_t stride, uint32_t group, int qmax)
{
    size_t step = group ? group : n;
    for (size_t i = 0; i < n; i += step) {
        size_t span = n - i < step ? n - i : step;
        quantize_span(q + i, scale++, x + i, x, 0.0f, span, (float)qmax, false);
    }
    finish_row(q, sum32, n, stride);
}

static void rmsnorm_quantize(int8_t *q, int32_t *sum32, float *scale, const float *x,
                             const float *gain, size_t n, size_t stride, uint32_t group, int qmax,
                             float eps)
{
    float r = norm_factor(x, n, eps);
    size_t step = group ? group : n;
    for (size_t i = 0; i < n; i += step) {
        size_t span = n - i < step ? n - i : step;
        quantize_span(q + i, scale++, x + i, gain + i, r, span, (float)qmax, true);
    }
    finish_row(q, sum32, n, stride);
}

static void quantize_sign(int8_t *q, int32_t *sum32, float *scale, const float *x, size_t n,
                          size_t stride)
{
    float32x4_t sum[8];
    zero_lanes(sum);
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        UNROLL for (size_t j = 0; j < 8; j += 2)
        {
            float32x4_t a = vld1q_f32(x + i + 4 * j), b = vld1q_f32(x + i + 4 * j + 4);
            sum[j] = vaddq_f32(sum[j], vabsq_f32(a));
            sum[j + 1] = vaddq_f32(sum[j + 1], vabsq_f32(b));
            uint16x8_t yes = vcombine_u16(vmovn_u32(vcgeq_f32(a, vdupq_n_f32(0.0f))),
                                          vmovn_u32(vcgeq_f32(b, vdupq_n_f32(0.0f))));
            int8x8_t sign = vbsl_s8(vmovn_u16(yes), vdup_n_s8(1), vdup_n_s8(-1));
            vst1_s8(q + i + 4 * j, sign);
        }
    }
    float lane[32];
    store_lanes(lane, sum);
    for (; i < n; i++) {
        lane[i % 32] += fabsf(x[i]);
        q[i] = x[i] >= 0.0f ? 1 : -1;
    }
    *scale = fold_lanes(lane) / (float)n;
    finish_row(q, sum32, n, stride);
}

static void relu2_mul(float *y, const float *gate, const float *up, size_t n)
{
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        float32x4_t g = vmaxq_f32(vdupq_n_f32(0.0f), vld1q_f32(gate + i)); /* NaN stays */
        vst1q_f32(y + i, vmulq_f32(vmulq_f32(g, g), vld1q_f32(up + i)));
    }
    for (; i < n; i++) {
        float g = 0.0f > gate[i] ? 0.0f : gate[i];
        y[i] = (g * g) * up[i];
    }
}

static void silu_mul(float *y, const float *gate, const float *up, size_t n)
{
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        float32x4_t g = vld1q_f32(gate + i);
        float32x4_t e = vaddq_f32(vdupq_n_f32(1.0f), exp4(vnegq_f32(g)));
        vst1q_f32(y + i, vmulq_f32(vdivq_f32(g, e), vld1q_f32(up + i)));
    }
    for (; i < n; i++) {
        y[i] = (gate[i] / (1.0f + exp_spec(-gate[i]))) * up[i];
    }
}

static void rope_half(float *x, const float *cos, const float *sin, size_t n_heads,
                      size_t head_dim, size_t n_rot)
{
    size_t half = n_rot / 2;
    for (size_t h = 0; h < n_heads; h++, x += head_dim) {
        size_t j = 0;
        for (; j + 4 <= half; j += 4) {
            float32x4_t c = vld1q_f32(cos + j), s = vld1q_f32(sin + j);
            float32x4_t a = vld1q_f32(x + j), b = vld1q_f32(x + j + half);
            vst1q_f32(x + j, vsubq_f32(vmulq_f32(a, c), vmulq_f32(b, s)));
            vst1q_f32(x + j + half, vaddq_f32(vmulq_f32(b, c), vmulq_f32(a, s)));
        }
        for (; j < half; j++) {
            float a = x[j], b = x[j + half];
            x[j] = a * cos[j] - b * sin[j];
            x[j + half] = b * cos[j] + a * sin[j];
        }
    }
}

static void rope_adjacent(float *x, const float *cos, const float *sin, size_t n_heads,
                          size_t head_dim, size_t n_rot)
{
    size_t half = n_rot / 2;
    for (size_t h = 0; h < n_heads; h++, x += head_dim) {
        size_t j = 0;
        for (; j + 4 <= half; j += 4) {
            float32x4_t c = vld1q_f32(cos + j), s = vld1q_f32(sin + j);
            float32x4x2_t v = vld2q_f32(x + 2 * j), turned;
            turned.val[0] = vsubq_f32(vmulq_f32(v.val[0], c), vmulq_f32(v.val[1], s));
            turned.val[1] = vaddq_f32(vmulq_f32(v.val[1], c), vmulq_f32(v.val[0], s));
            vst2q_f32(x + 2 * j, turned);
        }
        for (; j < half; j++) {
            float a = x[2 * j], b = x[2 * j + 1];
            x[2 * j] = a * cos[j] - b * sin[j];
            x[2 * j + 1] = b * cos[j] + a * sin[j];
        }
    }
}

static void add(float *y, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        vst1q_f32(y + i, vaddq_f32(vld1q_f32(y + i), vld1q_f32(x + i)));
    }
    for (; i < n; i++) {
        y[i] += x[i];
    }
}

static void mul(float *y, const float *a, const float *b, size_t n)
{
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        vst1q_f32(y + i, vmulq_f32(vld1q_f32(a + i), vld1q_f32(b + i)));
    }
    for (; i < n; i++) {
        y[i] = a[i] * b[i];
    }
}

static void to_f16(uint16_t *y, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        vst1_u16(y + i, vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(x + i))));
    }
    for (; i < n; i++) {
        y[i] = float_to_half(x[i]);
    }
}

void fill_neon_element(struct element_kernels *e)
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
