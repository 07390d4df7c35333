/* SPDX-License-Identifier: Apache-2.0 */
/* The CRC of OSS and xz, and the sums of granules (sums.h). */
#include "check.h"
#include "wire/crc64.h"
#include "wire/sums.h"

#include <string.h>

#define BYTES 40000

static uint8_t data[BYTES];

/* The definition, bit by bit. */
static uint64_t slowly(uint64_t crc, const uint8_t *p, size_t n)
{
    crc = ~crc;
    for (; n; n--) {
        crc ^= *p++;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (crc & 1 ? UINT64_C(0xc96c5795d7870f42) : 0);
    }
    return ~crc;
}

static void the_check_value_of_the_catalogue(void)
{
    CHECK(ajf_crc64(0, "123456789", 9) == UINT64_C(0x995dc9bbdf1939fa));
    CHECK(ajf_crc64(0, "", 0) == 0);
}

static void any_length_and_alignment_is_as_bit_by_bit(void)
{
    for (size_t at = 0; at < 20; at++)
        for (size_t n = 0; n < 1100; n++)
            CHECK(ajf_crc64(at * n, data + at, n) == slowly(at * n, data + at, n));
    CHECK(ajf_crc64(0, data, BYTES) == slowly(0, data, BYTES));
}

static void pieces_combine(void)
{
    uint64_t whole = ajf_crc64(0, data, BYTES);
    for (size_t cut = 0; cut <= BYTES; cut += 1237) {
        uint64_t a = ajf_crc64(0, data, cut), b = ajf_crc64(0, data + cut, BYTES - cut);
        CHECK(ajf_crc64(a, data + cut, BYTES - cut) == whole);
        CHECK(ajf_crc64_combine(a, b, BYTES - cut) == whole);
    }
    CHECK(ajf_crc64_combine(whole, 0, 0) == whole);
}

/* 2^61 bytes are 2^64 bits. */
static void exabytes_combine(void)
{
    uint64_t a = ajf_crc64(0, data, 100), zeros = UINT64_C(1) << 61, by_halves = a;
    for (int i = 0; i < 2; i++)
        by_halves = ajf_crc64_combine(by_halves, 0, zeros / 2);
    CHECK(ajf_crc64_combine(a, 0, zeros) == by_halves);
}

static void sums_know_their_file_and_place(void)
{
    uint64_t sums[10], other[10];
    ajf_sums_make(data, BYTES, 7, 100, sums);
    CHECK_EQ(ajf_sums_check(data, BYTES, 7, 100, sums), BYTES);
    CHECK_EQ(ajf_sums_check(data, BYTES, 8, 100, sums), 0);
    CHECK_EQ(ajf_sums_check(data, BYTES, 7, 101, sums), 0);
    CHECK_EQ(ajf_sums_check(data, 3 * AJF_SUM_BYTES, 7, 100, sums), 3 * AJF_SUM_BYTES);
    CHECK_EQ(ajf_sums_check(data + AJF_SUM_BYTES, AJF_SUM_BYTES, 7, 101, sums + 1), AJF_SUM_BYTES);
    memset(other, 0, sizeof other);
    CHECK_EQ(ajf_sums_check(data, BYTES, 7, 100, other), 0);
}

static void a_flipped_bit_is_found_in_its_granule(void)
{
    uint64_t sums[10];
    ajf_sums_make(data, BYTES, 7, 0, sums);
    for (size_t bit = 0; bit < BYTES * 8; bit += 997) {
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK_EQ(ajf_sums_check(data, BYTES, 7, 0, sums), bit / 8 / AJF_SUM_BYTES * AJF_SUM_BYTES);
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

int main(void)
{
    uint64_t state = 1;
    for (size_t i = 0; i < BYTES; i++) {
        state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
        data[i] = (uint8_t)(state >> 56);
    }
    RUN(the_check_value_of_the_catalogue);
    RUN(any_length_and_alignment_is_as_bit_by_bit);
    RUN(pieces_combine);
    RUN(exabytes_combine);
    RUN(sums_know_their_file_and_place);
    RUN(a_flipped_bit_is_found_in_its_granule);
    CHECK_END();
}
