/* test_choose.c: --choices and --yesno against brute force: each choice read alone, one
 * token at a time, in a session of its own. 500 random cases on the built-in model,
 * within 1e-5. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/cmd_choose.h"
#include "tests/check.h"

enum { N_CASES = 500, N_CTX = 96 };

static const char *const words[] = {
    "the",  "cat",   "a",     "dog", "ran",   "home",  "Lily", "was",  "happy", "sad",  "to",
    "play", "with",  "ball",  "She", "said",  "no",    "yes",  "big",  "red",   "tree", "up",
    "and",  "then",  "mommy", "he",  "loved", "water", "z9!",  "\xc3\xa9t\xc3\xa9", "Once", "upon"};

static uint32_t random_state = 1;

static size_t random_below(size_t n)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % n;
}

static void random_text(char *out, size_t max_bytes, size_t n_words)
{
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; i < n_words && n < max_bytes; i++)
        n += (size_t)snprintf(out + n, max_bytes - n, "%s%s", i > 0 ? " " : "",
                              words[random_below(sizeof words / sizeof *words)]);
}

static double brute_force(struct host *h, bitnet_session *s, const char *prompt,
                          const char *choice, size_t n_shared)
{
    struct bitnet_ids ids = {0};
    struct bitnet_error err = {0};
    char text[2048];
    double sum = 0;
    snprintf(text, sizeof text, "%s %s", prompt, choice);
    if (!bitnet_encode(h->tokenizer, text, strlen(text), BITNET_BOS, &ids, &err))
        return NAN;
    bitnet_seq_cut(s, 0, 0);
    for (size_t i = 0; i + 1 < ids.n_ids; i++) {
        struct bitnet_input in = {ids.ids[i], 0, true};
        if (!bitnet_eval(s, &in, 1, &err))
            return NAN;
        if (i + 1 >= n_shared)
            sum += bitnet_logprob(bitnet_logits(s, 0), h->n_vocab, ids.ids[i + 1]);
    }
    bitnet_ids_free(&ids);
    return sum;
}

/* Where the ids with any of the choices part from those of the prompt. */
static size_t shared(struct host *h, const char *prompt, const struct choices *c)
{
    struct bitnet_ids alone = {0};
    struct bitnet_error err = {0};
    bitnet_encode(h->tokenizer, prompt, strlen(prompt), BITNET_BOS, &alone, &err);
    size_t least = alone.n_ids;
    for (size_t i = 0; i < c->n; i++) {
        struct bitnet_ids ids = {0};
        char text[2048];
        size_t n = 0;
        snprintf(text, sizeof text, "%s %s", prompt, c->items[i].text);
        bitnet_encode(h->tokenizer, text, strlen(text), BITNET_BOS, &ids, &err);
        while (n < least && n < ids.n_ids && ids.ids[n] == alone.ids[n])
            n++;
        least = n < least ? n : least;
        bitnet_ids_free(&ids);
    }
    bitnet_ids_free(&alone);
    return least;
}

static void one_case(struct host *h, bitnet_session *alone, struct bitnet_ids *kept, int number)
{
    char prompt[512], list[1024] = "", choice[256];
    struct choices c;
    struct args a;
    struct bitnet_error err = {0};
    random_text(prompt, sizeof prompt, 1 + random_below(14));
    size_t n = 2 + random_below(6);
    for (size_t i = 0; i < n; i++) {
        bool long_one = number % 50 == 7 && i < 2; /* takes two passes */
        random_text(choice, sizeof choice, long_one ? 30 : 1 + random_below(4));
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s %zu", i > 0 ? "," : "",
                 choice, i);
    }
    bool yesno = number % 5 == 0;
    char *argv[] = {(char *)"run", (char *)"--choices", list, NULL};
    args_parse(&a, args_command("run"), 3, argv, &err);
    struct prompt p = {.instruction = prompt};
    bool good = choices_open(&c, &a, yesno, &err) && choices_score(&c, h, &p, kept, &err);
    CHECK(good, "case %d '%s' [%s]: %s", number, prompt, list, err.msg);
    size_t n_shared = shared(h, prompt, &c), best = 0;
    double scores[CHOOSE_MAX];
    CHECK(c.n_prompt == n_shared, "case %d: %zu shared, not %zu", number, c.n_prompt, n_shared);
    for (size_t i = 0; i < c.n && good; i++) {
        scores[i] = brute_force(h, alone, prompt, c.items[i].text, n_shared);
        CHECK(fabs(scores[i] - c.items[i].logprob) <= 1e-5, "case %d '%s' + '%s': %.8f, not %.8f",
              number, prompt, c.items[i].text, c.items[i].logprob, scores[i]);
        if (scores[i] > scores[best])
            best = i;
    }
    CHECK(!good || c.best == best, "case %d: best %zu, not %zu", number, c.best, best);
    choices_close(&c);
    args_free(&a);
}

int main(void)
{
    struct host h = {0};
    struct args a;
    struct bitnet_error err = {0};
    bitnet_session *alone = NULL;
    struct bitnet_session_options o = {.n_ctx = N_CTX, .n_seqs = 1, .max_batch = 1,
                                       .max_logits = 1};
    struct bitnet_ids kept = {0};
    char *argv[] = {(char *)"run", (char *)"-c96", (char *)"-t1", NULL};
    unsetenv("BITNET_MODEL");
    args_parse(&a, args_command("run"), 3, argv, &err);
    if (!host_open(&h, &a, 0, &err) || !host_start(&h, CHOOSE_SEQS, CHOOSE_ROWS, &err) ||
        !bitnet_session_open(&alone, h.engine, h.model, &o, &err)) {
        SKIP("choices: %s", err.msg);
        return check_done();
    }
    for (int i = 0; i < N_CASES; i++)
        one_case(&h, alone, &kept, i);
    bitnet_session_close(alone);
    bitnet_ids_free(&kept);
    host_close(&h);
    args_free(&a);
    return check_done();
}
