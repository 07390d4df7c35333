/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bits are reflected: the top bit of a 64-bit value is the coefficient of x^0, and a byte stream read as little-endian
 * words is a polynomial from its highest coefficient down.
 *
 * Folding ("Fast CRC Computation for Generic Polynomials Using PCLMULQDQ", Intel 2009): sixteen bytes A:B, of which A
 * came first, that lie d bits before the end of what follows may be replaced by A * x^(d+64) + B * x^d, 128 bits again
 * once the powers are reduced. A product of two reflected values is one bit short of 128, so the constants are
 * x^(d+63) and x^(d-1). Four accumulators hide the latency of the multiplication; with AVX-512 each is four of these.
 * The last sixteen bytes go through the tables: no reduction is needed.
 */
#include "wire/crc64.h"

#include <string.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

#define POLYNOMIAL UINT64_C(0xc96c5795d7870f42) /* ECMA-182, reflected */
#define ONE (UINT64_C(1) << 63)                 /* x^0 */

/* x^2111 and x^2047, x^575 and x^511, x^191 and x^127: for A and B, over 256, 64 and 16 bytes */
#define FOLD_256_A UINT64_C(0x8260adf2381ad81c)
#define FOLD_256_B UINT64_C(0xf31fd9271e228b79)
#define FOLD_64_A UINT64_C(0x6ae3efbb9dd441f3)
#define FOLD_64_B UINT64_C(0x081f6054a7842df4)
#define FOLD_16_A UINT64_C(0xe05dd497ca393ae4)
#define FOLD_16_B UINT64_C(0xdabe95afc7875f40)

/* The effect of a byte on the CRC is the sum of those of its bits: a table is made of eight numbers. */
#define BIT(i, bit, value) ((i) & (1u << (bit)) ? (value) : 0)
#define ENTRY(i, ...) ENTRY_(i, __VA_ARGS__)
#define ENTRY_(i, b0, b1, b2, b3, b4, b5, b6, b7)                                                                      \
    (BIT(i, 0, b0) ^ BIT(i, 1, b1) ^ BIT(i, 2, b2) ^ BIT(i, 3, b3) ^ BIT(i, 4, b4) ^ BIT(i, 5, b5) ^ BIT(i, 6, b6) ^  \
     BIT(i, 7, b7))
#define FOUR(i, ...)                                                                                                   \
    ENTRY(i, __VA_ARGS__), ENTRY(i + 1, __VA_ARGS__), ENTRY(i + 2, __VA_ARGS__), ENTRY(i + 3, __VA_ARGS__)
#define SIXTEEN(i, ...)                                                                                                \
    FOUR(i, __VA_ARGS__), FOUR(i + 4, __VA_ARGS__), FOUR(i + 8, __VA_ARGS__), FOUR(i + 12, __VA_ARGS__)
#define SIXTY_FOUR(i, ...)                                                                                             \
    SIXTEEN(i, __VA_ARGS__), SIXTEEN(i + 16, __VA_ARGS__), SIXTEEN(i + 32, __VA_ARGS__), SIXTEEN(i + 48, __VA_ARGS__)
#define SLICE(...)                                                                                                     \
    {SIXTY_FOUR(0u, __VA_ARGS__), SIXTY_FOUR(64u, __VA_ARGS__), SIXTY_FOUR(128u, __VA_ARGS__),                         \
     SIXTY_FOUR(192u, __VA_ARGS__)}

/* Row n: the bits of a byte that n more bytes follow. */
static const uint64_t tables[8][256] = {
    SLICE(0xb32e4cbe03a75f6f, 0xf4843657a840a05b, 0x7bd0c384ff8f5e33, 0xf7a18709ff1ebc66,
          0x7d9ba13851336649, 0xfb374270a266cc92, 0x64b62bcaebc387a1, 0xc96c5795d7870f42),
    SLICE(0x54e979925cd0f10d, 0xa9d2f324b9a1e21a, 0xc17d4962dc4ddab1, 0x10223dee1795abe7,
          0x20447bdc2f2b57ce, 0x4088f7b85e56af9c, 0x8111ef70bcad5f38, 0x90fb71cad654a0f5),
    SLICE(0x3f0be14a916a6dcb, 0x7e17c29522d4db96, 0xfc2f852a45a9b72c, 0x6a87a57f245d70dd,
          0xd50f4afe48bae1ba, 0x38c63ad73e7bddf1, 0x718c75ae7cf7bbe2, 0xe318eb5cf9ef77c4),
    SLICE(0x1dee8a5e222ca1dc, 0x3bdd14bc445943b8, 0x77ba297888b28770, 0xef7452f111650ee0,
          0x4c300ac98dc40345, 0x986015931b88068a, 0xa218840d981e1391, 0xd6e9a7309f3239a7),
    SLICE(0x5c2d776033c4205e, 0xb85aeec0678840bc, 0xe26d72ab601e9ffd, 0x56024a7d6f33217f,
          0xac0494fade6642fe, 0xcad186de13c29b79, 0x077ba297888b2877, 0x0ef7452f111650ee),
    SLICE(0x6184d55f721267c6, 0xc309aabee424cf8c, 0x14cbfa566747819d, 0x2997f4acce8f033a,
          0x532fe9599d1e0674, 0xa65fd2b33a3c0ce8, 0xde670a4ddb760755, 0x2e16bbb019e2102f),
    SLICE(0x22ef0d5934f964ec, 0x45de1ab269f2c9d8, 0x8bbc3564d3e593b0, 0x85a0c5e208c539e5,
          0x999924efbe846d4f, 0xa1eae6f4d206c41b, 0xd10d62c20b0396b3, 0x30c26aafb90933e3),
    SLICE(0xdabe95afc7875f40, 0x27a584742000a005, 0x4f4b08e84001400a, 0x9e9611d080028014,
          0xaff48c8aaf0b1ead, 0xcd31b63ef11823df, 0x08bbc3564d3e593b, 0x117786ac9a7cb276),
};

static uint64_t times_x(uint64_t a)
{
    return (a >> 1) ^ (a & 1 ? POLYNOMIAL : 0);
}

static uint64_t times(uint64_t a, uint64_t b)
{
    uint64_t product = 0;
    for (; a; a <<= 1, b = times_x(b))
        if (a & ONE)
            product ^= b;
    return product;
}

/* `state` is the CRC without the all ones at its ends. */
static uint64_t by_table(uint64_t state, const uint8_t *p, size_t n)
{
    for (; n >= 8; n -= 8, p += 8) {
        uint8_t b[8];
        for (int i = 0; i < 8; i++)
            b[i] = p[i] ^ (uint8_t)(state >> 8 * i);
        state = 0;
        for (int i = 0; i < 8; i++)
            state ^= tables[7 - i][b[i]];
    }
    for (; n; n--, p++)
        state = (state >> 8) ^ tables[0][(state ^ *p) & 0xff];
    return state;
}

#ifdef __x86_64__
__attribute__((target("pclmul,sse4.1"))) static __m128i fold(__m128i a, __m128i by)
{
    return _mm_xor_si128(_mm_clmulepi64_si128(a, by, 0x00), _mm_clmulepi64_si128(a, by, 0x11));
}

/* Sixty-four bytes, and the `n` that follow. */
__attribute__((target("pclmul,sse4.1"))) static uint64_t fold_rest(__m128i a[4], const uint8_t *p, size_t n)
{
    const __m128i far = _mm_set_epi64x((long long)FOLD_64_B, (long long)FOLD_64_A);
    const __m128i near = _mm_set_epi64x((long long)FOLD_16_B, (long long)FOLD_16_A);
    for (; n >= 64; p += 64, n -= 64)
        for (int i = 0; i < 4; i++)
            a[i] = _mm_xor_si128(fold(a[i], far), _mm_loadu_si128((const __m128i *)p + i));
    for (int i = 1; i < 4; i++)
        a[0] = _mm_xor_si128(fold(a[0], near), a[i]);
    for (; n >= 16; p += 16, n -= 16)
        a[0] = _mm_xor_si128(fold(a[0], near), _mm_loadu_si128((const __m128i *)p));
    uint8_t last[16];
    memcpy(last, &a[0], sizeof last);
    return by_table(by_table(0, last, sizeof last), p, n);
}

/* n >= 64 */
__attribute__((target("pclmul,sse4.1"))) static uint64_t by_folding(uint64_t state, const uint8_t *p, size_t n)
{
    __m128i a[4];
    for (int i = 0; i < 4; i++)
        a[i] = _mm_loadu_si128((const __m128i *)p + i);
    a[0] = _mm_xor_si128(a[0], _mm_set_epi64x(0, (long long)state));
    return fold_rest(a, p + 64, n - 64);
}

__attribute__((target("avx512f,vpclmulqdq"))) static __m512i fold_wide(__m512i a, __m512i by, __m512i next)
{
    return _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(a, by, 0x00), _mm512_clmulepi64_epi128(a, by, 0x11), next,
                                     0x96); /* a ^ b ^ c */
}

/* n >= 256 */
__attribute__((target("avx512f,vpclmulqdq,pclmul,sse4.1"))) static uint64_t
by_wide_folding(uint64_t state, const uint8_t *p, size_t n)
{
    const __m512i far = _mm512_broadcast_i32x4(_mm_set_epi64x((long long)FOLD_256_B, (long long)FOLD_256_A));
    const __m512i near = _mm512_broadcast_i32x4(_mm_set_epi64x((long long)FOLD_64_B, (long long)FOLD_64_A));
    __m512i a[4];
    for (int i = 0; i < 4; i++)
        a[i] = _mm512_loadu_si512(p + 64 * i);
    __m512i first = _mm512_inserti32x4(_mm512_setzero_si512(), _mm_set_epi64x(0, (long long)state), 0);
    a[0] = _mm512_xor_si512(a[0], first);
    for (p += 256, n -= 256; n >= 256; p += 256, n -= 256)
        for (int i = 0; i < 4; i++)
            a[i] = fold_wide(a[i], far, _mm512_loadu_si512(p + 64 * i));
    for (int i = 1; i < 4; i++)
        a[0] = fold_wide(a[0], near, a[i]);
    __m128i narrow[4];
    _mm512_storeu_si512(narrow, a[0]);
    return fold_rest(narrow, p, n);
}
#endif

uint64_t ajf_crc64(uint64_t crc, const void *data, size_t n)
{
#ifdef __x86_64__
    if (n >= 256 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("vpclmulqdq"))
        return ~by_wide_folding(~crc, data, n);
    if (n >= 64 && __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1"))
        return ~by_folding(~crc, data, n);
#endif
    return ~by_table(~crc, data, n);
}

uint64_t ajf_crc64_combine(uint64_t crc_a, uint64_t crc_b, uint64_t length_b)
{
    uint64_t shift = ONE, square = ONE >> 8; /* x^8 */
    for (; length_b; length_b >>= 1, square = times(square, square))
        if (length_b & 1)
            shift = times(shift, square);
    return times(crc_a, shift) ^ crc_b;
}
