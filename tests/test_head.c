/* test_head.c: searches of an i8 and an i8x2 head against all logits of an i8 head of the same
 * codes, on every tier, for wishes of many kinds. Rows whose lower halves point along the input, or
 * what its rounding left, or against it, take the bounds to their limit. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/dispatch.h"
#include "src/head.h"
#include "tests/check.h"
#include "tests/random.h"

enum { N_ROWS = 1003, N_COLS = 277, N_TOK = 5, N_BLOCKS = (N_ROWS + 15) / 16 };

static struct kernels kernels;
static struct pool *pool;
static struct projector projector;
static struct arena arena;
static struct head plain, planes, bytes; /* the same codes as i8, i8x2, and again i8 */
static struct head *tested;              /* planes or bytes */
static int8_t codes[N_BLOCKS * 16][N_COLS];
static float scales[N_BLOCKS * 16] __attribute__((aligned(64)));
static float hidden[N_TOK][N_COLS];
static uint8_t *lines[2];

/* Row r as what a quarter of the rows are: lower halves along an input, rounded to them. */
static void make_row(size_t r)
{
    const float *x = hidden[r % N_TOK];
    float sign = draw(2) ? 1 : -1;
    for (size_t k = 0; k < N_COLS; k++) {
        int high = (int)draw(16), low = (int)draw(16);
        if (r % 4 == 1)
            low = sign * x[k] > 0 ? 15 : 0;
        if (r % 4 == 2)
            high = 8;
        codes[r][k] = (int8_t)(16 * high + low < 1 ? -127 : 16 * high + low - 128);
    }
    scales[r] = (draw(2) ? 1 : -1) * (float)(1 + draw(1000)) / 100000;
}

static void make_hidden(void)
{
    for (size_t t = 0; t < N_TOK; t++)
        for (size_t k = 0; k < N_COLS; k++) {
            hidden[t][k] = (float)(int)draw(2001) / 1000 - 1;
            if (t == 1 && tested == &planes) /* all logits are 0: bytes would give up */
                hidden[t][k] = 0;
            if (t == 2)
                hidden[t][k] *= k % 50 == 0 ? 1000.0f : 0.01f;
            if (t == 3)
                hidden[t][k] = draw(2) ? 1.0f : -1.0f;
        }
}

static struct matrix packed(enum encoding e, uint8_t **to)
{
    size_t block_bytes = layout_block_bytes(e, 0, N_COLS);
    CHECK(posix_memalign((void **)to, 64, N_BLOCKS * block_bytes) == 0, "memory");
    for (size_t b = 0; b < N_BLOCKS; b++)
        layout_pack(*to + b * block_bytes, e, 0, codes[16 * b], NULL, N_COLS);
    return (struct matrix){.lines = *to, .scale = scales, .n_rows = N_ROWS, .n_cols = N_COLS,
                           .encoding = (uint8_t)e, .scale_kind = SCALE_ROW};
}

static void lay_out(const struct matrix m[2])
{
    project_lay_out(&projector, &arena, 3, 2 * N_TOK, N_COLS);
    projector.kernels = &kernels;
    projector.pool = pool;
    head_lay_out(&plain, &arena, &projector, &m[0], N_TOK);
    head_lay_out(&planes, &arena, &projector, &m[1], N_TOK);
    head_lay_out(&bytes, &arena, &projector, &m[0], N_TOK);
}

static bool both; /* planes in a search */

static void run(struct head *h, size_t n_tok)
{
    h->rests[0].n_left = both; /* search, however little the last search left out */
    h->rests[1].n_left = 0;
    memset(h->logits, 0xff, 2 * N_TOK * h->stride * sizeof *h->logits);
    head_run(h, hidden[0], N_COLS, n_tok);
}

static const float *sorted_by;

static int better(const void *a, const void *b)
{
    size_t i = *(const size_t *)a, j = *(const size_t *)b;
    if (sorted_by[i] != sorted_by[j])
        return sorted_by[i] < sorted_by[j] ? 1 : -1;
    return (i > j) - (i < j);
}

static bool has(const uint32_t *bits, size_t i)
{
    return bits && bits[i / 32] >> i % 32 & 1;
}

/* Token t's logits against all of them: what is wished for is there, and nothing is wrong. */
static size_t check_token(size_t t)
{
    const struct head_wish *wish = &tested->wishes[t];
    const float *want = plain.logits + t * plain.stride, *got = tested->logits + t * tested->stride;
    size_t rows[N_ROWS], n = 0, n_bad = 0, n_left_out = 0;
    for (size_t r = 0; r < N_ROWS; r++) {
        bool same = memcmp(&want[r], &got[r], sizeof *got) == 0;
        n_bad += !same && (got[r] != -INFINITY || has(wish->exact, r) || wish->n_best == 0);
        n_left_out += got[r] == -INFINITY;
        if (!has(wish->banned, r) && !has(wish->exact, r))
            rows[n++] = r;
    }
    sorted_by = want;
    qsort(rows, n, sizeof *rows, better);
    for (size_t i = 0; i < n && i < wish->n_best; i++)
        n_bad += memcmp(&want[rows[i]], &got[rows[i]], sizeof *got) != 0;
    CHECK(n_bad == 0, "%s, token %zu, best %zu: %zu wrong", kernels.tier, t, wish->n_best, n_bad);
    return n_left_out;
}

static void check_wishes(void)
{
    static const size_t counts[] = {1, 2, 40, 500, 1002, 1003, HEAD_MAX_BEST, HEAD_MAX_BEST + 1, 0};
    static uint32_t banned[N_ROWS / 32 + 1], exact[N_ROWS / 32 + 1];
    size_t n_left_out = 0;
    run(&plain, N_TOK);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        for (size_t j = 0; j < sizeof banned / sizeof *banned; j++) {
            banned[j] = (uint32_t)(draw(UINT32_MAX) & draw(UINT32_MAX));
            exact[j] = 1u << draw(32);
        }
        for (size_t t = 0; t < N_TOK; t++) /* not all tokens want the same; bytes few or all */
            tested->wishes[t] = (struct head_wish){
                i % 2 ? banned : NULL, i % 3 ? exact : NULL,
                tested == &planes ? counts[(i + t) % 9] : i == 8 ? t : 1 + (3 * i + t) % 10};
        run(tested, N_TOK);
        for (size_t t = 0; t < N_TOK; t++)
            n_left_out += check_token(t);
    }
    CHECK(n_left_out > 0, "%s: every row was scored", kernels.tier);
}

/* Three rows far above the rest. WINNER lies along input 0, far above all. Of input 3, whose
 * columns are 1 or -1, LAST is scored as low as its bounds allow and FIRST as high: it is best by a
 * little, though its upper halves alone are nearly twice a bound below those of LAST. */
enum { WINNER = 700, FIRST, LAST, N_STEPS = N_COLS - 19 };

static void make_winners(void)
{
    for (size_t r = 0; r < N_ROWS; r++)
        scales[r] *= r < WINNER || r > LAST ? 1e-5f : 1;
    scales[WINNER] = scales[FIRST] = scales[LAST] = 0.1f;
    for (size_t k = 0; k < N_COLS; k++) {
        bool plus = hidden[3][k] > 0, step = k < N_STEPS;
        codes[WINNER][k] = (int8_t)(hidden[0][k] * 127);
        codes[FIRST][k] = plus ? (step ? 0 : 16) + 15 : step ? 16 : 0;
        codes[LAST][k] = plus ? 16 : 15;
    }
}

static void check_winners(void)
{
    static uint32_t banned[N_ROWS / 32 + 1];
    banned[WINNER / 32] = 1u << WINNER % 32;
    for (int turn = 0; turn < 2; turn++) {
        for (size_t t = 0; t < N_TOK; t++)
            tested->wishes[t] = (struct head_wish){.n_best = 1, .banned = turn ? banned : NULL};
        run(&plain, N_TOK);
        run(tested, N_TOK);
        size_t n_left_out = check_token(0);
        check_token(3);
        CHECK(plain.logits[3 * plain.stride + FIRST] > plain.logits[3 * plain.stride + LAST] &&
                  (turn || n_left_out > N_ROWS * 9 / 10),
              "%s: %zu left out", kernels.tier, n_left_out);
    }
}

/* Changes some of a row's small codes until row times q is about `sum`. */
static void turn_to(int8_t *row, const int8_t *q, int32_t sum)
{
    for (size_t k = 0; k < N_COLS; k++)
        sum -= row[k] * q[k];
    for (size_t k = 0; k < N_COLS && sum != 0; k++) {
        if (row[k] < -30 || row[k] > 30)
            continue;
        int old = row[k], v = old + (q[k] ? sum / q[k] : 0);
        v = v > 127 ? 127 : v < -127 ? -127 : v;
        sum -= (v - old) * q[k];
        row[k] = (int8_t)v;
    }
}

/* Two rows far above the rest, made of what the rounding of input 0 left over: FIRST along it,
 * LAST against it. By the first term alone FIRST lies 1.85 bounds below LAST; it is best by a
 * little. All tokens are the same. */
static void make_rivals(void)
{
    _Alignas(64) int8_t q[2][512];
    int32_t sum32[512 / 32], squares = 0;
    float s[2], left[N_COLS];
    const float *x = hidden[0];
    for (size_t term = 0; term < 2; term++, x = left) {
        kernels.element.quantize(q[term], sum32, &s[term], x, N_COLS, 512, 0, 127);
        for (size_t k = 0; k < N_COLS; k++)
            left[k] = x[k] - (float)q[term][k] * s[term];
    }
    for (size_t k = 0; k < N_COLS; k++) {
        codes[FIRST][k] = q[1][k];
        codes[LAST][k] = (int8_t)-q[1][k];
        squares += q[1][k] * q[1][k];
    }
    const float bound = s[1] / s[0] * (float)squares; /* in units of the first term */
    turn_to(codes[LAST], q[0], (int32_t)(10 * bound));
    turn_to(codes[FIRST], q[0], (int32_t)(8.15f * bound));
    for (size_t r = 0; r < N_ROWS; r++)
        scales[r] *= 1e-5f;
    scales[FIRST] = scales[LAST] = 0.1f;
    for (size_t t = 1; t < N_TOK; t++)
        memcpy(hidden[t], hidden[0], sizeof hidden[0]);
}

static void check_rivals(void)
{
    for (size_t t = 0; t < N_TOK; t++)
        tested->wishes[t] = (struct head_wish){.n_best = 1};
    run(&plain, N_TOK);
    run(tested, N_TOK);
    size_t n_left_out = check_token(0);
    CHECK(plain.logits[FIRST] > plain.logits[LAST] && n_left_out == N_ROWS - 2,
          "%s: %g and %g, %zu left out", kernels.tier, (double)plain.logits[FIRST],
          (double)plain.logits[LAST], n_left_out);
}

/* An input without numbers shows, whatever is wished for, and so does a row's scale. */
static void check_nan(size_t n_tok)
{
    float scale = scales[5];
    for (size_t turn = 0; turn < 2; turn++) {
        scales[5] = turn ? INFINITY : -INFINITY;
        run(tested, n_tok);
        CHECK(!isfinite(tested->logits[5]) && !(tested->searched && tested->logits[5] == -INFINITY),
              "%s: an infinite logit is hidden", kernels.tier);
    }
    scales[5] = scale;
    float kept = hidden[0][3];
    hidden[0][3] = NAN;
    run(tested, n_tok);
    hidden[0][3] = kept;
    CHECK(isnan(tested->logits[0]) && isnan(tested->logits[N_ROWS - 1]), "%s: NaN", kernels.tier);
}

enum rows { MIXED, WINNERS, RIVALS };

static void check_tier(const char *tier, struct head *head, enum rows rows)
{
    struct bitnet_error err = {0};
    tested = head;
    kernels_fill(&kernels, tier);
    make_hidden();
    for (size_t r = 0; r < N_ROWS; r++)
        make_row(r);
    if (rows == WINNERS)
        make_winners();
    if (rows == RIVALS)
        make_rivals();
    const struct matrix m[2] = {packed(ENC_I8, &lines[0]), packed(ENC_I8X2, &lines[1])};
    arena = (struct arena){0};
    projector = (struct projector){.act = BITNET_ACT_I8};
    lay_out(m);
    CHECK(arena_open(&arena, &err), "%s", err.msg);
    lay_out(m);
    switch (rows) {
    case MIXED: check_wishes(); break;
    case WINNERS: check_winners(); break;
    case RIVALS: check_rivals(); break;
    }
    check_nan(1);
    check_nan(N_TOK);
    arena_close(&arena);
    free(lines[0]);
    free(lines[1]);
}

int main(void)
{
    struct bitnet_error err = {0};
    const char *tier;
    bool usable;
    CHECK(pool_open(&pool, 3, &err), "%s", err.msg);
    for (size_t i = 0; (tier = kernels_tier(i, &usable)) != NULL && usable; i++)
        for (int turn = 0; turn < 12; turn++) {
            both = turn / 3 % 2;
            check_tier(tier, &planes, (enum rows)(turn % 3));
            check_tier(tier, &bytes, (enum rows)(turn % 3));
        }
    pool_close(pool);
    return check_done();
}
