/* avx2_element.c: scalar_element.c, 8 floats at a time, sums in 32 lanes of four registers. What
 * is left over at the end goes through the specification's own scalar line, so it has its bits. */
#include "kernels/avx2_math.h"
#include "kernels/kernels.h"

static float norm_factor(const float *x, size_t n, float eps)
{
    __m256 sum[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(),
                     _mm256_setzero_ps()};
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        UNROLL for (size_t j = 0; j < 4; j++)
        {
            __m256 v = _mm256_loadu_ps(x + i + 8 * j);
            sum[j] = _mm256_add_ps(sum[j], _mm256_mul_ps(v, v));
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
    __m256 r = _mm256_set1_ps(factor);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 v = _mm256_mul_ps(_mm256_loadu_ps(x + i), r);
        _mm256_storeu_ps(y + i, _mm256_mul_ps(v, _mm256_loadu_ps(gain + i)));
    }
    for (; i < n; i++) {
        y[i] = (x[i] * factor) * gain[i];
    }
}

/* Zeros from n on, and the sums of 32: q + 128 < 256 summed by sad, less 32 * 128. */
static void finish_row(int8_t *q, int32_t *sum32, size_t n, size_t stride)
{
    memset(q + n, 0, stride - n);
    for (size_t j = 0; j < stride / 32; j++) {
        __m256i v = _mm256_loadu_si256((const __m256i *)(q + 32 * j));
        v = _mm256_sad_epu8(_mm256_xor_si256(v, _mm256_set1_epi8(-128)), _mm256_setzero_si256());
        __m128i s = _mm_add_epi64(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
        s = _mm_add_epi64(s, _mm_unpackhi_epi64(s, s));
        sum32[j] = _mm_cvtsi128_si32(s) - 32 * 128;
    }
}

/* 8 values to quantize: x, or (x * r) * gain. */
INLINE __m256 value(const float *x, const float *gain, __m256 r, const bool norm)
{
    __m256 v = _mm256_loadu_ps(x);
    return norm ? _mm256_mul_ps(_mm256_mul_ps(v, r), _mm256_loadu_ps(gain)) : v;
}

INLINE float value_1(const float *x, const float *gain, float r, const bool norm)
{
    return norm ? (*x * r) * *gain : *x;
}

INLINE float max_abs(const float *x, const float *gain, float factor, size_t n, const bool norm)
{
    const __m256 r = _mm256_set1_ps(factor);
    __m256i most = _mm256_setzero_si256();
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256i bits = _mm256_castps_si256(value(x + i, gain + i, r, norm));
        bits = _mm256_and_si256(bits, _mm256_set1_epi32(0x7fffffff));
        most = _mm256_max_epu32(most, bits);
    }
    uint32_t lane[8], max_bits = float_bits(QUANT_MIN_ABS);
    _mm256_storeu_si256((__m256i *)lane, most);
    for (size_t j = 0; j < 8; j++) {
        max_bits = lane[j] > max_bits ? lane[j] : max_bits;
    }
    for (; i < n; i++) {
        uint32_t bits = float_bits(value_1(x + i, gain + i, factor, norm)) & 0x7fffffff;
        max_bits = bits > max_bits ? bits : max_bits;
    }
    return bits_float(max_bits);
}

INLINE __m256i round_8(__m256 v, __m256 inverse, __m256 limit)
{
    v = _mm256_mul_ps(v, inverse);
    v = _mm256_max_ps(v, _mm256_sub_ps(_mm256_setzero_ps(), limit)); /* NaN becomes -limit */
    v = _mm256_min_ps(v, limit);
    return _mm256_cvtps_epi32(_mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

INLINE void quantize_span(int8_t *q, float *scale, const float *x, const float *gain, float factor,
                          size_t n, float limit, const bool norm)
{
    float max = max_abs(x, gain, factor, n, norm), inverse = limit / max;
    *scale = max / limit;
    const __m256 r = _mm256_set1_ps(factor), i8 = _mm256_set1_ps(inverse);
    const __m256 l8 = _mm256_set1_ps(limit);
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        __m256i whole[4];
        UNROLL for (size_t j = 0; j < 4; j++)
        {
            whole[j] = round_8(value(x + i + 8 * j, gain + i + 8 * j, r, norm), i8, l8);
        }
        /* Packing works within 128-bit halves and leaves all low halves in front. */
        __m256i low = _mm256_packs_epi32(whole[0], whole[1]);
        __m256i high = _mm256_packs_epi32(whole[2], whole[3]);
        __m256i bytes = _mm256_packs_epi16(low, high);
        bytes = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
        _mm256_storeu_si256((__m256i *)(q + i), bytes);
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
    const __m256 not_sign = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
    __m256 sum[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(),
                     _mm256_setzero_ps()};
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        __m256i sign[4]; /* -1 where x >= 0 */
        UNROLL for (size_t j = 0; j < 4; j++)
        {
            __m256 v = _mm256_loadu_ps(x + i + 8 * j);
            sum[j] = _mm256_add_ps(sum[j], _mm256_and_ps(v, not_sign));
            sign[j] = _mm256_castps_si256(_mm256_cmp_ps(v, _mm256_setzero_ps(), _CMP_GE_OQ));
        }
        __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(sign[0], sign[1]),
                                           _mm256_packs_epi32(sign[2], sign[3]));
        bytes = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
        __m256i twice = _mm256_sub_epi8(_mm256_setzero_si256(), _mm256_add_epi8(bytes, bytes));
        _mm256_storeu_si256((__m256i *)(q + i), _mm256_sub_epi8(twice, _mm256_set1_epi8(1)));
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
    for (; i + 8 <= n; i += 8) {
        __m256 g = _mm256_max_ps(_mm256_setzero_ps(), _mm256_loadu_ps(gate + i)); /* NaN stays */
        _mm256_storeu_ps(y + i, _mm256_mul_ps(_mm256_mul_ps(g, g), _mm256_loadu_ps(up + i)));
    }
    for (; i < n; i++) {
        float g = 0.0f > gate[i] ? 0.0f : gate[i];
        y[i] = (g * g) * up[i];
    }
}

static void silu_mul(float *y, const float *gate, const float *up, size_t n)
{
    const __m256 one = _mm256_set1_ps(1.0f), sign = _mm256_set1_ps(-0.0f);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 g = _mm256_loadu_ps(gate + i);
        g = _mm256_div_ps(g, _mm256_add_ps(one, exp8(_mm256_xor_ps(g, sign))));
        _mm256_storeu_ps(y + i, _mm256_mul_ps(g, _mm256_loadu_ps(up + i)));
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
        for (; j + 8 <= half; j += 8) {
            __m256 c = _mm256_loadu_ps(cos + j), s = _mm256_loadu_ps(sin + j);
            __m256 a = _mm256_loadu_ps(x + j), b = _mm256_loadu_ps(x + j + half);
            __m256 first = _mm256_sub_ps(_mm256_mul_ps(a, c), _mm256_mul_ps(b, s));
            __m256 second = _mm256_add_ps(_mm256_mul_ps(b, c), _mm256_mul_ps(a, s));
            _mm256_storeu_ps(x + j, first);
            _mm256_storeu_ps(x + j + half, second);
        }
        for (; j < half; j++) {
            float a = x[j], b = x[j + half];
            x[j] = a * cos[j] - b * sin[j];
            x[j + half] = b * cos[j] + a * sin[j];
        }
    }
}

/* Four pairs in a register; addsub subtracts in even lanes (a*c - b*s), adds in odd ones. */
static void rope_adjacent(float *x, const float *cos, const float *sin, size_t n_heads,
                          size_t head_dim, size_t n_rot)
{
    const __m256i twice = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
    size_t half = n_rot / 2;
    for (size_t h = 0; h < n_heads; h++, x += head_dim) {
        size_t j = 0;
        for (; j + 4 <= half; j += 4) {
            __m256 c = _mm256_castps128_ps256(_mm_loadu_ps(cos + j));
            __m256 s = _mm256_castps128_ps256(_mm_loadu_ps(sin + j));
            __m256 v = _mm256_loadu_ps(x + 2 * j);
            __m256 swapped = _mm256_mul_ps(_mm256_permute_ps(v, 0xb1),
                                           _mm256_permutevar8x32_ps(s, twice));
            v = _mm256_mul_ps(v, _mm256_permutevar8x32_ps(c, twice));
            _mm256_storeu_ps(x + 2 * j, _mm256_addsub_ps(v, swapped));
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
    for (; i + 8 <= n; i += 8) {
        _mm256_storeu_ps(y + i, _mm256_add_ps(_mm256_loadu_ps(y + i), _mm256_loadu_ps(x + i)));
    }
    for (; i < n; i++) {
        y[i] += x[i];
    }
}

static void mul(float *y, const float *a, const float *b, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        _mm256_storeu_ps(y + i, _mm256_mul_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i)));
    }
    for (; i < n; i++) {
        y[i] = a[i] * b[i];
    }
}

static void to_f16(uint16_t *y, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m128i half = _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT);
        _mm_storeu_si128((__m128i *)(y + i), half);
    }
    for (; i < n; i++) {
        y[i] = float_to_half(x[i]);
    }
}

void fill_avx2_element(struct element_kernels *e)
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
