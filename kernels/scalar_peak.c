/* scalar_peak.c: see peak.h. */
#include <string.h>

#include "kernels/peak.h"

static uint64_t read_bytes(const uint8_t *p, size_t n_bytes)
{
    const uint8_t *second = p + n_bytes / 2;
    uint64_t sum[4] = {0};
    for (size_t i = 0; i < n_bytes / 2; i += 16) {
        uint64_t word[4];
        memcpy(word, p + i, 16);
        memcpy(word + 2, second + i, 16);
        for (size_t j = 0; j < 4; j++) {
            sum[j] += word[j];
        }
    }
    return sum[0] + sum[1] + sum[2] + sum[3];
}

static uint64_t multiply_i8(size_t n_rounds)
{
    int32_t acc[8] = {0};
    volatile int32_t source = 3;
    int32_t a = source, b = source;
    for (size_t i = 0; i < n_rounds; i++) {
        for (size_t j = 0; j < 8; j++) {
            __asm__("" : "+r"(a)); /* else the loop becomes one multiplication */
            acc[j] += a * b;
        }
    }
    uint64_t sum = 0;
    for (size_t j = 0; j < 8; j++) {
        sum += (uint32_t)acc[j];
    }
    return sum;
}

static uint64_t multiply_f32(size_t n_rounds)
{
    float acc[8] = {0};
    volatile float source = 0.5f;
    float a = source, b = source;
    for (size_t i = 0; i < n_rounds; i++) {
        for (size_t j = 0; j < 8; j++) {
            acc[j] = acc[j] * a + b;
        }
    }
    float sum = 0;
    for (size_t j = 0; j < 8; j++) {
        sum += acc[j];
    }
    return (uint64_t)sum;
}

void fill_scalar_peak(struct peak *p)
{
    *p = (struct peak){read_bytes, multiply_i8, multiply_f32, 8, 8};
}
