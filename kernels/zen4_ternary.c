/* zen4_ternary.c: t2 times int8, eight tokens at a time: six are multiplied and two looked up.
 *
 * Zen 4 has four vector ports. vpdpbusd, 64 products a cycle, takes two of them, vpermw one of
 * these or the third, shifts the third or fourth, additions any; so look-ups run beside products
 * nearly for nothing. A line is multiplied as in avx512_ternary.c. For the look-ups,
 *
 *     a word (half a dword) of a line holds eight codes of one row. Any five of its bits choose one
 *     of 32 sums of activations, as a code's lower bit counts its column once, the upper one twice:
 *
 *         T(n) = sum over set bits j of n of  q[column of j] * (1 for a lower bit, 2 for an upper)
 *
 *     vpermw takes 32 words from such a table by the lowest five bits of 32 indices: the word
 *     itself, shifted right by 5, and by 10. The sixteenth bits of four words, the word of two
 *     lines, are one index more.
 *
 * All 32 indices must mean the same columns, so two blocks share them: word w of one block's dwords
 * in the even lanes, that of the other's in the odd ones.
 *
 * Of 128 cycles that eight tokens times two lines of two blocks take when all are multiplied, 100
 * are left by the count of ports, and 111 were measured. Where vpermw has to share the ports of
 * vpdpbusd, as in Intel's AVX-512 cores, there is nothing to be had.
 *
 * range: words hold the sums of SEGMENT_LINES = 8 lines, 8 * 16 * 2 * 127 = 32512 < 2^15, and then
 * go to int32; |isum| <= 2^17 * 2 * 127 < 2^31. */
#include "kernels/avx512_rows.h"
#include "kernels/avx512_ternary.h"

enum {
    DOTS = 6,      /* tokens of a slice that are multiplied, the first ones */
    LOOKED_UP = 2, /* and that are looked up */
    SLICE_TOK = DOTS + LOOKED_UP,
    PART_TOK = 2 * SLICE_TOK, /* whose tables fit into scratch */
    SEGMENT_LINES = 8,
    TABLE_BYTES = 64,
    LINE_TABLES = 6 * LOOKED_UP,                     /* three for each word */
    PAIR_TABLES = 2 * LINE_TABLES + LOOKED_UP, /* of two lines, in the order of their use */
    AHEAD = 2048, /* bytes, at once into L1: memory is not what eight tokens wait for */
};

/* Which columns the entries of a table count, and how often: in byte c of a dword for column c of
 * four. The dwords of the two registers are in the order from which vpackssdw makes words 0..31. */
struct pattern {
    __m512i low, high;
};

/* Bits `mask` << shift of n count column c, 1 << twice times. */
INLINE struct pattern counting(int c, unsigned shift, int mask, unsigned twice)
{
    const __m512i low = _mm512_setr_epi32(0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27);
    const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(4));
    const __m512i bits = _mm512_set1_epi32(mask);
    const unsigned to = 8 * (unsigned)c + twice;
    return (struct pattern){
        _mm512_slli_epi32(_mm512_and_si512(_mm512_srli_epi32(low, shift), bits), to),
        _mm512_slli_epi32(_mm512_and_si512(_mm512_srli_epi32(high, shift), bits), to),
    };
}

INLINE struct pattern both(struct pattern a, struct pattern b)
{
    return (struct pattern){_mm512_or_si512(a.low, b.low), _mm512_or_si512(a.high, b.high)};
}

/* Bits 0-4, 5-9 and 10-14 of a word whose bytes are of columns d[0][0..3] and d[1][0..3], and the
 * sixteenth bits of four words, the latest lowest. */
struct patterns {
    struct pattern first, second[2], third, rest;
};

static struct patterns patterns(void)
{
    return (struct patterns){
        both(both(counting(0, 0, 3, 0), counting(1, 2, 3, 0)), counting(2, 4, 1, 0)),
        {both(counting(2, 0, 1, 1), counting(3, 1, 3, 0)), counting(0, 3, 3, 0)},
        both(both(counting(1, 0, 3, 0), counting(2, 2, 3, 0)), counting(3, 4, 1, 0)),
        both(both(counting(0, 3, 1, 1), counting(1, 2, 1, 1)),
             both(counting(2, 1, 1, 1), counting(3, 0, 1, 1))),
    };
}

/* acc + the entries that four activations, the same in each dword of q, make. */
INLINE struct pattern count(struct pattern acc, struct pattern p, __m512i q)
{
    return (struct pattern){dot_add(acc.low, p.low, q), dot_add(acc.high, p.high, q)};
}

INLINE void store_table(uint8_t *to, struct pattern sums)
{
    _mm512_store_si512(to, _mm512_packs_epi32(sums.low, sums.high));
}

/* A token's tables for two lines, 32 columns; those of LOOKED_UP tokens alternate. */
INLINE void make_tables(uint8_t *to, const struct patterns *p, const int8_t *q)
{
    const __m128i by_byte = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const size_t step = LOOKED_UP * TABLE_BYTES;
    const struct pattern none = {_mm512_setzero_si512(), _mm512_setzero_si512()};
    UNROLL for (int line = 0; line < 2; line++)
    {
        /* dword i: columns i, 4 + i, 8 + i, 12 + i, the four codes of byte i */
        const __m128i x =
            _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(q + 16 * line)), by_byte);
        UNROLL for (int w = 0; w < 2; w++)
        {
            const __m128i d = w ? _mm_unpackhi_epi64(x, x) : x;
            const __m512i even = _mm512_broadcastd_epi32(d);
            const __m512i odd = _mm512_broadcastd_epi32(_mm_srli_si128(d, 4));
            store_table(to, count(none, p->first, even));
            store_table(to + step, count(count(none, p->second[0], even), p->second[1], odd));
            store_table(to + 2 * step, count(none, p->third, odd));
            to += 3 * step;
        }
    }
    const int8_t last[4] = {q[13], q[15], q[29], q[31]};
    int32_t rest;
    memcpy(&rest, last, sizeof rest);
    store_table(to, count(none, p->rest, _mm512_set1_epi32(rest)));
}

/* Four activations in every dword. As assembly, because clang takes the instruction for floats,
 * whose results reach the integer ports late: a fifth slower. */
INLINE __m512i broadcast_dword(const int8_t *q)
{
    typedef int32_t __attribute__((may_alias, aligned(1))) four;
    __m512i dword;
    __asm__("vpbroadcastd %1, %0" : "=v"(dword) : "m"(*(const four *)q));
    return dword;
}

/* Words; as assembly, because gcc would reassociate the sums. */
INLINE __m512i add16(__m512i acc, __m512i x)
{
    __asm__("vpaddw %1, %0, %0" : "+v"(acc) : "v"(x));
    return acc;
}

/* What the loop over lines keeps in registers. */
struct sums {
    __m512i dots[DOTS][2];    /* by token and block */
    __m512i words[LOOKED_UP]; /* of both blocks in turn */
    __m512i rest;             /* the last sixteenth bits */
    __m512i three;
    __mmask32 odd;
};

INLINE void look_up(__m512i *words, __m512i index, const uint8_t *table)
{
    *words = add16(*words, _mm512_permutexvar_epi16(index, _mm512_load_si512(table)));
}

/* A line of both blocks. Every second token of q brings a look-up, so that all ports have work. */
INLINE void line_step(struct sums *s, const uint8_t *a, const uint8_t *b,
                      const int8_t *const q[DOTS], size_t k, const uint8_t *tables)
{
    _mm_prefetch((const char *)a + AHEAD, _MM_HINT_T0);
    _mm_prefetch((const char *)b + AHEAD, _MM_HINT_T0);
    __m512i wa = _mm512_load_si512(a), wb = _mm512_load_si512(b);
    __asm__("" : "+v"(wa), "+v"(wb)); /* loaded once, not by each instruction below */
    const __m512i word[2] = {_mm512_mask_blend_epi16(s->odd, wa, _mm512_slli_epi32(wb, 16)),
                             _mm512_mask_blend_epi16(s->odd, _mm512_srli_epi32(wa, 16), wb)};
    UNROLL for (int f = 0; f < 4; f++)
    {
        const __m512i code_a = _mm512_and_si512(_mm512_srli_epi16(wa, 2 * f), s->three);
        const __m512i code_b = _mm512_and_si512(_mm512_srli_epi16(wb, 2 * f), s->three);
        if (f % 2 == 0)
            s->rest = _mm512_shldi_epi16(s->rest, word[f / 2], 1);
        UNROLL for (int t = 0; t < DOTS; t++)
        {
            const __m512i dword = broadcast_dword(q[t] + k + 4 * f);
            s->dots[t][0] = dot_add(s->dots[t][0], code_a, dword);
            s->dots[t][1] = dot_add(s->dots[t][1], code_b, dword);
            if (t % 2 == 1) {
                const int i = f * 3 + t / 2; /* 0..11: index i / 2 of token i % 2 */
                const __m512i index = _mm512_srli_epi16(word[i / 6], i % 6 / 2 * 5);
                look_up(&s->words[i % LOOKED_UP], index, tables + i * TABLE_BYTES);
            }
        }
    }
}

/* n lines of two blocks, n even; isum[token][block] is of those looked up. */
INLINE void lines_pair(struct sums *s, __m512i isum[LOOKED_UP][2], const uint8_t *a,
                       const uint8_t *b, const int8_t *const q[DOTS], const uint8_t *tables,
                       size_t n)
{
    for (size_t i = 0; i < n;) {
        const size_t end = n - i < SEGMENT_LINES ? n : i + SEGMENT_LINES;
        UNROLL for (int t = 0; t < LOOKED_UP; t++) { s->words[t] = _mm512_setzero_si512(); }
        for (; i < end; i += 2) {
            const uint8_t *pair_a = a + LINE_BYTES * i, *pair_b = b + LINE_BYTES * i;
            line_step(s, pair_a, pair_b, q, 16 * i, tables);
            tables += LINE_TABLES * TABLE_BYTES;
            line_step(s, pair_a + LINE_BYTES, pair_b + LINE_BYTES, q, 16 * i + 16, tables);
            tables += LINE_TABLES * TABLE_BYTES;
            UNROLL for (int t = 0; t < LOOKED_UP; t++)
            {
                look_up(&s->words[t], s->rest, tables);
                tables += TABLE_BYTES;
            }
        }
        UNROLL for (int t = 0; t < LOOKED_UP; t++)
        {
            const __m512i even = _mm512_srai_epi32(_mm512_slli_epi32(s->words[t], 16), 16);
            isum[t][0] = _mm512_add_epi32(isum[t][0], even);
            isum[t][1] = _mm512_add_epi32(isum[t][1], _mm512_srai_epi32(s->words[t], 16));
        }
    }
}

/* Two blocks times a slice; start belongs to its first token. */
static void slice_tile(const struct tile tile[2], const int32_t *start, const uint8_t *tables)
{
    const struct activations *x = tile->m->x;
    const int8_t *q[DOTS];
    struct sums s = {.rest = _mm512_setzero_si512(), .three = _mm512_set1_epi8(3),
                     .odd = 0xaaaaaaaa};
    __m512i isum[SLICE_TOK][2];
    /* kept in registers: clang makes them anew for every line, and moving a mask costs a port */
    __asm__("" : "+v"(s.three), "+Yk"(s.odd));
    UNROLL for (int t = 0; t < SLICE_TOK; t++)
    {
        isum[t][0] = isum[t][1] = _mm512_set1_epi32(start[t]);
    }
    UNROLL for (int t = 0; t < DOTS; t++)
    {
        q[t] = x->q + (tile->t0 + (size_t)t) * x->q_stride;
        s.dots[t][0] = s.dots[t][1] = isum[t][0];
    }
    lines_pair(&s, isum + DOTS, tile_lines(&tile[0]), tile_lines(&tile[1]), q, tables,
               tile->r->last_lines);
    UNROLL for (int b = 0; b < 2; b++)
    {
        __m512 total[SLICE_TOK];
        UNROLL for (int t = 0; t < SLICE_TOK; t++)
        {
            total[t] = _mm512_cvtepi32_ps(t < DOTS ? s.dots[t][b] : isum[t][b]);
        }
        store_tile(&tile[b], total);
    }
}

/* What scratch holds of a part of the tokens. */
struct part {
    uint8_t *tables;   /* [slice][pair of lines][PAIR_TABLES][TABLE_BYTES] */
    int32_t *start;    /* [token], as runs_start */
    size_t t0, n_tok;  /* n_tok a multiple of SLICE_TOK */
    size_t slice_bytes;
};

/* The sum of a token's activations. */
static int32_t sum_of(const struct activations *x, size_t t)
{
    const int32_t *sum32 = x->sum32 + t * (x->q_stride / 32);
    const size_t n = (x->n_cols + 31) / 32;
    __m512i sum = _mm512_setzero_si512();
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 some = n - i < 16 ? (__mmask16)((1u << (n - i)) - 1) : 0xffff;
        sum = _mm512_add_epi32(sum, _mm512_maskz_loadu_epi32(some, sum32 + i));
    }
    return _mm512_reduce_add_epi32(sum);
}

/* Tables of a slice, of whose tokens q is the first that is looked up. */
static void make_slice(uint8_t *to, const struct patterns *p, const int8_t *q, size_t q_stride,
                       size_t n_lines)
{
    for (size_t i = 0; i < n_lines; i += 2, to += PAIR_TABLES * TABLE_BYTES) {
        UNROLL for (int t = 0; t < LOOKED_UP; t++)
        {
            make_tables(to + t * TABLE_BYTES, p, q + (size_t)t * q_stride + 16 * i);
        }
    }
}

static void make_part(const struct part *p, const struct runs *r, const struct matmul *m)
{
    const struct activations *x = m->x;
    const struct patterns of = patterns();
    for (size_t t = 0; t < p->n_tok; t++)
        p->start[t] = -sum_of(x, p->t0 + t);
    for (size_t t = 0; t < p->n_tok; t += SLICE_TOK)
        make_slice(p->tables + t / SLICE_TOK * p->slice_bytes, &of,
                   x->q + (p->t0 + t + DOTS) * x->q_stride, x->q_stride, r->last_lines);
}

static void multiply_part(const struct part *p, const struct runs *r, const struct matmul *m)
{
    for (size_t i = 0; i < n_pairs(m); i++) {
        size_t block[2];
        pair_at(block, m, i);
        for (size_t t = 0; t < p->n_tok; t += SLICE_TOK) {
            const struct tile tile[2] = {{m, r, block[0], p->t0 + t, SLICE_TOK},
                                         {m, r, block[1], p->t0 + t, SLICE_TOK}};
            slice_tile(tile, p->start + t, p->tables + t / SLICE_TOK * p->slice_bytes);
        }
    }
}

/* The tokens from t0 on, fewer than a slice, as the tier below does it. */
static void multiply_rest(const struct matmul *m, size_t t0, void *scratch)
{
    struct activations x = *m->x;
    struct matmul rest = *m;
    x.q += t0 * x.q_stride;
    x.sum32 += t0 * (x.q_stride / 32);
    x.scale += t0;
    x.n_tok -= t0;
    rest.x = &x;
    rest.y += t0 * m->y_stride;
    rest.scratch = scratch;
    avx512_t2_i8(&rest);
}

/* Scratch, of 128 act_stride(n_cols) bytes and more: tables of two slices, 52 bytes for each column
 * of each; then their starts, then what the rest wants. */
static void t2_i8(const struct matmul *m)
{
    const struct runs r = runs_of(m);
    const size_t n_tok = m->x->n_tok;
    if (n_tok < SLICE_TOK || r.grouped || m->x->group || r.last_lines % 2 == 1) {
        avx512_t2_i8(m);
        return;
    }
    struct part p = {.tables = m->scratch,
                     .slice_bytes = r.last_lines / 2 * PAIR_TABLES * TABLE_BYTES};
    p.start = (int32_t *)(p.tables + 2 * p.slice_bytes);
    for (; n_tok - p.t0 >= SLICE_TOK; p.t0 += p.n_tok) {
        p.n_tok = n_tok - p.t0 < PART_TOK ? SLICE_TOK : PART_TOK;
        if (!is_prepared(m, PART_TOK + SLICE_TOK - 1))
            make_part(&p, &r, m);
        multiply_part(&p, &r, m);
    }
    if (p.t0 < n_tok)
        multiply_rest(m, p.t0, p.start + PART_TOK);
}

void fill_zen4_ternary(struct matrix_kernels *m)
{
    m->t2_i8 = t2_i8;
}
