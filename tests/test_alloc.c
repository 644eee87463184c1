/* test_alloc.c: nothing allocates between tokens. The linker sends every call of malloc and its
 * family in our objects through the counters below (-Wl,--wrap, see the Makefile). */
#include <stdlib.h>

#include "include/bitnet.h"
#include "tests/check.h"

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
int __real_posix_memalign(void **out, size_t align, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
int __wrap_posix_memalign(void **out, size_t align, size_t n);

static size_t n_calls;

void *__wrap_malloc(size_t n)
{
    n_calls++;
    return __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    n_calls++;
    return __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    n_calls++;
    return __real_realloc(p, n);
}

int __wrap_posix_memalign(void **out, size_t align, size_t n)
{
    n_calls++;
    return __real_posix_memalign(out, align, n);
}

int main(void)
{
    struct bitnet_error err = {0};
    bitnet_engine *engine = NULL;
    bitnet_model *model = NULL;
    bitnet_session *session = NULL;
    bitnet_sampler *sampler = NULL;
    struct bitnet_sampling p = bitnet_sampling_defaults();
    bool ok = bitnet_engine_open(&engine, NULL, 2, &err) &&
              bitnet_model_open(&model, NULL, &err) &&
              bitnet_session_open(&session, engine, model,
                                  &(struct bitnet_session_options){.n_seqs = 2}, &err) &&
              bitnet_sampler_open(&sampler, model, &p, &err);
    CHECK(ok, "%s", err.msg);
    if (!ok)
        return check_done();
    CHECK(n_calls > 0, "the counters are not linked in");
    size_t n_before = n_calls, n_tokens = 0;
    struct bitnet_input in = {bitnet_bos(bitnet_model_tokenizer(model)), 0, true};
    for (; ok && n_tokens < 64 && bitnet_eval(session, &in, 1, &err); n_tokens++) {
        in.token = bitnet_sample(sampler, bitnet_logits(session, 0), NULL);
        size_t n_bytes;
        (void)bitnet_token_bytes(bitnet_model_tokenizer(model), in.token, &n_bytes);
    }
    CHECK(n_tokens == 64, "%s", err.msg);
    bitnet_seq_copy(session, 1, 0, 32);
    CHECK(n_calls == n_before, "%zu allocations in %zu tokens", n_calls - n_before, n_tokens);
    bitnet_sampler_close(sampler);
    bitnet_session_close(session);
    bitnet_model_close(model);
    bitnet_engine_close(engine);
    return check_done();
}
