/* avx512_attention.c: scalar_attention.c, 32 lanes in two registers. Turning halves or bytes into
 * floats costs as much as multiplying them, so rows share what was turned: two at a time make qk
 * 1.3 times as fast, four make av 1.5 times (Zen 4). Tails are masked, and a masked lane adds plus
 * zero to sums that began at plus zero, which changes no bit. */
#include "kernels/avx512_math.h"
#include "kernels/kernels.h"

/* 16 keys or values at element `at`, of either kind; whole: no mask, which frees an instruction. */
INLINE __m512 load_kv(const void *base, size_t at, __mmask16 mask, const bool whole,
                      const bool f16)
{
    if (f16) {
        const uint16_t *p = (const uint16_t *)base + at;
        return _mm512_cvtph_ps(whole ? _mm256_loadu_si256((const __m256i *)p)
                                     : _mm256_maskz_loadu_epi16(mask, p));
    }
    const int8_t *p = (const int8_t *)base + at;
    __m128i bytes = whole ? _mm_loadu_si128((const __m128i *)p) : _mm_maskz_loadu_epi8(mask, p);
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
}

/* dots[row]: those of nr rows from q on at four positions from p on, of which n are there: the rest
 * repeat the first one. whole: head_dim is a multiple of 32. */
INLINE void dot_tile(__m128 dots[2], const float *q, const struct attend *a, size_t p, size_t n,
                     const int nr, const bool whole, const bool f16)
{
    const size_t dim = a->head_dim;
    __m512 low[2][4], high[2][4];
    size_t at[4];
    UNROLL for (int j = 0; j < 4 * nr; j++)
    {
        low[j / 4][j % 4] = high[j / 4][j % 4] = _mm512_setzero_ps();
    }
    UNROLL for (size_t i = 0; i < 4; i++) { at[i] = (p + (i < n ? i : 0)) * a->pos_stride; }
    for (size_t d = 0; d < dim; d += 32) {
        const size_t rest = dim - d;
        const __mmask16 mask0 = whole ? 0xffff : first_lanes(rest);
        const __mmask16 mask1 = whole ? 0xffff : rest > 16 ? first_lanes(rest - 16) : 0;
        __m512 q0[2], q1[2];
        UNROLL for (int r = 0; r < nr; r++)
        {
            const float *from = q + (size_t)r * dim + d;
            q0[r] = _mm512_maskz_loadu_ps(mask0, from);
            q1[r] = _mm512_maskz_loadu_ps(mask1, from + 16);
        }
        UNROLL for (int i = 0; i < 4; i++)
        {
            __m512 k0 = load_kv(a->kv, at[i] + d, mask0, whole, f16);
            __m512 k1 = load_kv(a->kv, at[i] + d + 16, mask1, whole, f16);
            UNROLL for (int r = 0; r < nr; r++)
            {
                low[r][i] = _mm512_add_ps(low[r][i], _mm512_mul_ps(q0[r], k0));
                high[r][i] = _mm512_add_ps(high[r][i], _mm512_mul_ps(q1[r], k1));
            }
        }
    }
    UNROLL for (int r = 0; r < nr; r++)
    {
        __m128 sum[4];
        UNROLL for (int i = 0; i < 4; i++) { sum[i] = fold_to_4(low[r][i], high[r][i]); }
        _MM_TRANSPOSE4_PS(sum[0], sum[1], sum[2], sum[3]); /* sum[i]: lane i of each position */
        dots[r] = _mm_add_ps(_mm_add_ps(sum[0], sum[2]), _mm_add_ps(sum[1], sum[3]));
    }
}

/* nr rows from r on at all positions. */
INLINE void qk_rows(const struct attend *a, size_t r, const int nr, const bool whole,
                    const bool f16)
{
    for (size_t p = 0; p < a->n_pos; p += 4) {
        const size_t n = a->n_pos - p < 4 ? a->n_pos - p : 4;
        __m128 dots[2], factor = _mm_set1_ps(a->scale);
        dot_tile(dots, a->q + r * a->head_dim, a, p, n, nr, whole, f16);
        if (!f16) {
            float scales[4] = {0};
            for (size_t i = 0; i < n; i++) { scales[i] = a->kv_scale[(p + i) * a->scale_stride]; }
            factor = _mm_mul_ps(_mm_loadu_ps(scales), factor);
        }
        UNROLL for (size_t i = 0; i < (size_t)nr; i++)
        {
            float *to = a->scores + (r + i) * a->score_stride + p;
            _mm_mask_storeu_ps(to, (__mmask8)(first_lanes(n) & 15), _mm_mul_ps(dots[i], factor));
        }
    }
}

INLINE void qk(const struct attend *a, const bool f16)
{
    size_t r = 0;
    if (a->head_dim % 32 == 0) {
        for (; r + 2 <= a->n_rows; r += 2) { qk_rows(a, r, 2, true, f16); }
        for (; r < a->n_rows; r++) { qk_rows(a, r, 1, true, f16); }
    }
    for (; r < a->n_rows; r++) { qk_rows(a, r, 1, false, f16); }
}

static void qk_f16(const struct attend *a)
{
    qk(a, true);
}

static void qk_i8(const struct attend *a)
{
    qk(a, false);
}

/* nv registers of nr rows of the output, columns d on, over the positions; one register alone goes
 * by mask. */
INLINE void weighted_sum(const struct attend *a, size_t r, size_t d, __mmask16 mask, const int nr,
                         const int nv, const bool f16)
{
    float *out = a->out + r * a->head_dim + d;
    const float *scores = a->scores + r * a->score_stride;
    __m512 acc[4][8];
    UNROLL for (int j = 0; j < nr * nv; j++)
    {
        const float *from = out + (size_t)(j / nv) * a->head_dim + 16 * (j % nv);
        acc[j / nv][j % nv] = _mm512_maskz_loadu_ps(mask, from);
    }
    for (size_t p = 0; p < a->n_pos; p++) {
        __m512 w[4];
        UNROLL for (int i = 0; i < nr; i++)
        {
            float score = scores[(size_t)i * a->score_stride + p];
            w[i] = _mm512_set1_ps(f16 ? score : score * a->kv_scale[p * a->scale_stride]);
        }
        UNROLL for (int v = 0; v < nv; v++)
        {
            __m512 x = load_kv(a->kv, p * a->pos_stride + d + 16 * (size_t)v, mask, nv > 1, f16);
            UNROLL for (int i = 0; i < nr; i++)
            {
                acc[i][v] = _mm512_add_ps(acc[i][v], _mm512_mul_ps(w[i], x));
            }
        }
    }
    UNROLL for (int j = 0; j < nr * nv; j++)
    {
        float *to = out + (size_t)(j / nv) * a->head_dim + 16 * (j % nv);
        _mm512_mask_storeu_ps(to, mask, acc[j / nv][j % nv]);
    }
}

/* nr rows from r on, by 16 * nv columns. */
INLINE void av_rows(const struct attend *a, size_t r, const int nr, const int nv, const bool f16)
{
    const size_t step = 16 * (size_t)nv;
    size_t d = 0;
    for (; d + step <= a->head_dim; d += step) { weighted_sum(a, r, d, 0xffff, nr, nv, f16); }
    for (; d < a->head_dim; d += 16) {
        const __mmask16 mask = first_lanes(a->head_dim - d);
        for (size_t i = 0; i < (size_t)nr; i++) { weighted_sum(a, r + i, d, mask, 1, 1, f16); }
    }
}

INLINE void av(const struct attend *a, const bool f16)
{
    size_t r = 0;
    for (; r + 4 <= a->n_rows; r += 4) { av_rows(a, r, 4, 4, f16); }
    for (; r + 2 <= a->n_rows; r += 2) { av_rows(a, r, 2, 8, f16); }
    for (; r < a->n_rows; r++) { av_rows(a, r, 1, 8, f16); }
}

static void av_f16(const struct attend *a)
{
    av(a, true);
}

static void av_i8(const struct attend *a)
{
    av(a, false);
}

static void softmax(float *x, size_t n)
{
    const __m512 lowest = _mm512_set1_ps(-INFINITY);
    __m512 max = lowest;
    for (size_t i = 0; i < n; i += 16) {
        max = _mm512_max_ps(_mm512_mask_loadu_ps(lowest, first_lanes(n - i), x + i), max);
    }
    max = _mm512_set1_ps(_mm512_reduce_max_ps(max));
    __m512 sum[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
    for (size_t i = 0; i < n; i += 32) {
        UNROLL for (size_t h = 0; h < 2; h++)
        {
            size_t at = i + 16 * h;
            __mmask16 mask = first_lanes(at < n ? n - at : 0);
            __m512 e = exp16(_mm512_sub_ps(_mm512_maskz_loadu_ps(mask, x + at), max));
            _mm512_mask_storeu_ps(x + at, mask, e);
            sum[h] = _mm512_add_ps(sum[h], _mm512_maskz_mov_ps(mask, e));
        }
    }
    __m512 inverse = _mm512_set1_ps(1.0f / fold(sum[0], sum[1]));
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = first_lanes(n - i);
        __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + i), inverse);
        _mm512_mask_storeu_ps(x + i, mask, v);
    }
}

void fill_avx512_attention(struct attention_kernels *a)
{
    a->qk_f16 = qk_f16;
    a->qk_i8 = qk_i8;
    a->av_f16 = av_f16;
    a->av_i8 = av_i8;
    a->softmax = softmax;
}
