/* avx512_element.c: scalar_element.c, 16 floats at a time. Tails are masked; a masked lane adds
 * plus zero to sums that began at plus zero, which changes no bit. */
#include "kernels/avx512_math.h"
#include "kernels/kernels.h"

static float norm_factor(const float *x, size_t n, float eps)
{
    __m512 low = _mm512_setzero_ps(), high = _mm512_setzero_ps();
    for (size_t i = 0; i < n; i += 32) {
        __m512 a = _mm512_maskz_loadu_ps(first_lanes(n - i), x + i);
        low = _mm512_add_ps(low, _mm512_mul_ps(a, a));
        if (n - i > 16) {
            __m512 b = _mm512_maskz_loadu_ps(first_lanes(n - i - 16), x + i + 16);
            high = _mm512_add_ps(high, _mm512_mul_ps(b, b));
        }
    }
    return rms_factor(fold(low, high), n, eps);
}

static void rmsnorm(float *y, const float *x, const float *gain, size_t n, float eps)
{
    __m512 r = _mm512_set1_ps(norm_factor(x, n, eps));
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = first_lanes(n - i);
        __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + i), r);
        v = _mm512_mul_ps(v, _mm512_maskz_loadu_ps(mask, gain + i));
        _mm512_mask_storeu_ps(y + i, mask, v);
    }
}

/* Zeros from n on, and the sums of 32: |q| + 128 < 256 summed by sad, less 32 * 128. */
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

/* 16 values to quantize: x, or (x * r) * gain. */
INLINE __m512 value(const float *x, const float *gain, __m512 r, __mmask16 mask, const bool norm)
{
    __m512 v = _mm512_maskz_loadu_ps(mask, x);
    return norm ? _mm512_mul_ps(_mm512_mul_ps(v, r), _mm512_maskz_loadu_ps(mask, gain)) : v;
}

INLINE void quantize_span(int8_t *q, float *scale, const float *x, const float *gain, float factor,
                          size_t n, float limit, const bool norm)
{
    const __m512 r = _mm512_set1_ps(factor), top = _mm512_set1_ps(limit);
    const __m512 bottom = _mm512_set1_ps(-limit);
    __m512i max_bits = _mm512_set1_epi32((int32_t)float_bits(QUANT_MIN_ABS));
    for (size_t i = 0; i < n; i += 16) {
        __m512 v = value(x + i, gain + i, r, first_lanes(n - i), norm);
        __m512i bits = _mm512_and_si512(_mm512_castps_si512(v), _mm512_set1_epi32(0x7fffffff));
        max_bits = _mm512_max_epu32(max_bits, bits);
    }
    float max = bits_float(_mm512_reduce_max_epu32(max_bits));
    *scale = max / limit;
    const __m512 inverse = _mm512_set1_ps(limit / max);
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = first_lanes(n - i);
        __m512 v = _mm512_mul_ps(value(x + i, gain + i, r, mask, norm), inverse);
        v = _mm512_min_ps(_mm512_max_ps(v, bottom), top);
        __m512i whole =
            _mm512_cvt_roundps_epi32(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        _mm512_mask_cvtepi32_storeu_epi8(q + i, mask, whole);
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
    const __m128i minus = _mm_set1_epi8(-1), plus = _mm_set1_epi8(1);
    __m512 sum[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
    for (size_t i = 0; i < n; i += 32) {
        UNROLL for (size_t h = 0; h < 2; h++)
        {
            size_t at = i + 16 * h;
            __mmask16 mask = first_lanes(at < n ? n - at : 0);
            __m512 v = _mm512_maskz_loadu_ps(mask, x + at);
            __mmask16 positive = _mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_GE_OQ);
            sum[h] = _mm512_add_ps(sum[h], _mm512_abs_ps(v));
            _mm_mask_storeu_epi8(q + at, mask, _mm_mask_blend_epi8(positive, minus, plus));
        }
    }
    *scale = fold(sum[0], sum[1]) / (float)n;
    finish_row(q, sum32, n, stride);
}

static void relu2_mul(float *y, const float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = first_lanes(n - i);
        __m512 g = _mm512_maskz_loadu_ps(mask, gate + i);
        g = _mm512_max_ps(_mm512_setzero_ps(), g); /* in this order NaN stays */
        g = _mm512_mul_ps(_mm512_mul_ps(g, g), _mm512_maskz_loadu_ps(mask, up + i));
        _mm512_mask_storeu_ps(y + i, mask, g);
    }
}

static void silu_mul(float *y, const float *gate, const float *up, size_t n)
{
    const __m512 one = _mm512_set1_ps(1.0f), sign = _mm512_set1_ps(-0.0f);
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = first_lanes(n - i);
        __m512 g = _mm512_maskz_loadu_ps(mask, gate + i);
        __m512 e = exp16(_mm512_xor_ps(g, sign));
        g = _mm512_div_ps(g, _mm512_add_ps(one, e));
        g = _mm512_mul_ps(g, _mm512_maskz_loadu_ps(mask, up + i));
        _mm512_mask_storeu_ps(y + i, mask, g);
    }
}

static void rope_half(float *x, const float *cos, const float *sin, size_t n_heads,
                      size_t head_dim, size_t n_rot)
{
    size_t half = n_rot / 2;
    for (size_t h = 0; h < n_heads; h++, x += head_dim) {
        for (size_t j = 0; j < half; j += 16) {
            __mmask16 mask = first_lanes(half - j);
            __m512 c = _mm512_maskz_loadu_ps(mask, cos + j);
            __m512 s = _mm512_maskz_loadu_ps(mask, sin + j);
            __m512 a = _mm512_maskz_loadu_ps(mask, x + j);
            __m512 b = _mm512_maskz_loadu_ps(mask, x + j + half);
            __m512 first = _mm512_sub_ps(_mm512_mul_ps(a, c), _mm512_mul_ps(b, s));
            __m512 second = _mm512_add_ps(_mm512_mul_ps(b, c), _mm512_mul_ps(a, s));
            _mm512_mask_storeu_ps(x + j, mask, first);
            _mm512_mask_storeu_ps(x + j + half, mask, second);
        }
    }
}

/* Eight pairs in a register: even lanes a*c - b*s, odd lanes b*c + a*s. */
static void rope_adjacent(float *x, const float *cos, const float *sin, size_t n_heads,
                          size_t head_dim, size_t n_rot)
{
    const __m512i twice = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    size_t half = n_rot / 2;
    for (size_t h = 0; h < n_heads; h++, x += head_dim) {
        for (size_t j = 0; j < half; j += 8) {
            __mmask16 mask = first_lanes(2 * (half - j)), pairs = first_lanes(half - j) & 0xff;
            __m512 c = _mm512_permutexvar_ps(twice, _mm512_maskz_loadu_ps(pairs, cos + j));
            __m512 s = _mm512_permutexvar_ps(twice, _mm512_maskz_loadu_ps(pairs, sin + j));
            __m512 v = _mm512_maskz_loadu_ps(mask, x + 2 * j);
            __m512 swapped = _mm512_mul_ps(_mm512_permute_ps(v, 0xb1), s);
            v = _mm512_mul_ps(v, c);
            __m512 turned = _mm512_mask_sub_ps(_mm512_add_ps(v, swapped), 0x5555, v, swapped);
            _mm512_mask_storeu_ps(x + 2 * j, mask, turned);
        }
    }
}

static void add(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = first_lanes(n - i);
        __m512 v = _mm512_maskz_loadu_ps(mask, y + i);
        _mm512_mask_storeu_ps(y + i, mask,
                              _mm512_add_ps(v, _mm512_maskz_loadu_ps(mask, x + i)));
    }
}

static void mul(float *y, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = first_lanes(n - i);
        __m512 v = _mm512_maskz_loadu_ps(mask, a + i);
        _mm512_mask_storeu_ps(y + i, mask,
                              _mm512_mul_ps(v, _mm512_maskz_loadu_ps(mask, b + i)));
    }
}

static void to_f16(uint16_t *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = first_lanes(n - i);
        __m512 v = _mm512_maskz_loadu_ps(mask, x + i);
        __m256i half = _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        _mm256_mask_storeu_epi16(y + i, mask, half);
    }
}

void fill_avx512_element(struct element_kernels *e)
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
