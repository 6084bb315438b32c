#include "pattern.h"

#include "cpu.h"
#include "memory.h"

/* Zipf over ranks 1 .. n, P(k) ~ k^-s, by rejection from a piecewise constant envelope, in integers:
 * the ranks are divided into buckets (one rank each below 32, then 32 for each doubling), a bucket is
 * drawn by the weight of its first rank for each of its ranks, a rank within it uniformly, and that
 * is kept with the probability w(rank) / w(first). Most are kept without working that out, because
 * the least such probability of a bucket is known. What remains is the error of 32 bits. */

enum { SPLIT_BITS = 5 };

struct bucket {
    uint64_t below;  /* the weight of the buckets before it */
    uint32_t first;  /* its first rank */
    uint32_t accept; /* w(last) / w(first), 32 bits behind the point */
};

struct zipf {
    uint64_t exponent; /* 32 bits behind the point */
    uint64_t total;    /* the weight of all buckets */
    uint64_t stride;   /* from one rank's page to the next one's */
    uint32_t buckets;
    struct bucket bucket[]; /* and one that begins behind the last rank */
};

static struct range tables;

/* The logarithm of k >= 1 to base 2, 32 bits behind the point, rounded down: bit by bit. */
static uint64_t log2_of(uint64_t k)
{
    unsigned whole = 63 - (unsigned)__builtin_clzll(k);
    uint64_t m = k << (63 - whole), result = whole;
    for (int i = 0; i < 32; i++) {
        uint64_t squared = (uint64_t)((unsigned __int128)m * m >> 64); /* [1/4, 1) of 2^64 */
        unsigned bit = squared >> 63;
        m = bit ? squared : squared << 1;
        result = result << 1 | bit;
    }
    return result;
}

/* 2^-x of an x with 32 bits behind the point: 63 bits behind the point. By its series. */
static uint64_t exp2_minus(uint64_t x)
{
    const uint64_t ln2 = 0xB17217F7D1CF79ABull; /* 64 bits behind the point */
    uint64_t y = (uint64_t)((unsigned __int128)(x << 32) * ln2 >> 65), term = 1ull << 63;
    uint64_t plus = 0, minus = 0;
    for (uint64_t n = 1; term; n++) {
        *(n & 1 ? &plus : &minus) += term;
        term = (uint64_t)((unsigned __int128)term * y >> 63) / n;
    }
    return x >> 38 ? 0 : (plus - minus) >> (x >> 32);
}

static uint64_t weight(const struct zipf *z, uint64_t log2)
{
    return exp2_minus((uint64_t)((unsigned __int128)z->exponent * log2 >> 32));
}

static uint64_t behind_bucket(uint64_t rank, uint64_t count)
{
    unsigned whole = 63 - (unsigned)__builtin_clzll(rank);
    uint64_t behind = rank + (whole > SPLIT_BITS ? 1ull << (whole - SPLIT_BITS) : 1);
    return behind <= count ? behind : count + 1;
}

/* Pages of ranks that follow each other are a golden section of the slice apart. */
static uint64_t stride(uint64_t count)
{
    for (uint64_t s = (count * 2654435769u >> 32) | 1;; s++) {
        uint64_t a = count, b = s;
        while (b) {
            uint64_t rest = a % b;
            a = b;
            b = rest;
        }
        if (a == 1) {
            return s;
        }
    }
}

static const struct zipf *make_zipf(uint64_t count, uint32_t milli)
{
    uint32_t buckets = 0;
    unsigned __int128 total = 0, below = 0;
    struct zipf *z;
    for (uint64_t rank = 1; rank <= count; rank = behind_bucket(rank, count)) {
        buckets++;
    }
    z = memory_take(sizeof *z + (buckets + 1) * sizeof *z->bucket);
    z->exponent = ((uint64_t)milli << 32) / 1000;
    z->stride = stride(count);
    z->buckets = buckets;
    for (uint64_t rank = 1, behind; rank <= count; rank = behind) {
        behind = behind_bucket(rank, count);
        total += (unsigned __int128)weight(z, log2_of(rank)) * (behind - rank);
    }
    unsigned drop = 0;
    while (total >> drop >> 63) {
        drop++;
    }
    uint64_t rank = 1;
    for (uint32_t b = 0; b <= buckets; b++) {
        z->bucket[b].below = (uint64_t)(below >> drop);
        z->bucket[b].first = (uint32_t)rank;
        if (b < buckets) {
            uint64_t behind = behind_bucket(rank, count), log2 = log2_of(rank);
            z->bucket[b].accept =
                (uint32_t)((weight(z, log2_of(behind - 1) - log2) - 1) >> 31);
            below += (unsigned __int128)weight(z, log2) * (behind - rank);
            rank = behind;
        }
    }
    z->total = z->bucket[buckets].below;
    return z;
}

static const struct bucket *draw_bucket(const struct zipf *z, uint64_t random)
{
    uint64_t at = (uint64_t)((unsigned __int128)random * z->total >> 64);
    uint32_t low = 0, high = z->buckets;
    while (high - low > 1) {
        uint32_t middle = (low + high) / 2;
        *(z->bucket[middle].below <= at ? &low : &high) = middle;
    }
    return &z->bucket[low];
}

static uint64_t draw_rank(const struct zipf *z, struct cursor *c)
{
    for (;;) {
        const struct bucket *b = draw_bucket(z, cursor_random(c));
        uint64_t random = cursor_random(c), ranks = b[1].first - b->first;
        uint64_t rank = b->first + ((random >> 32) * ranks >> 32);
        uint32_t chance = (uint32_t)random;
        if (chance < b->accept ||
            chance < weight(z, log2_of(rank) - log2_of(b->first)) >> 31) {
            return rank;
        }
    }
}

uint64_t pattern_zipf(const struct slice *s, struct cursor *c)
{
    return s->first + (draw_rank(s->zipf, c) - 1) * s->zipf->stride % s->count;
}

void pattern_init(struct slice *s, const struct options *o)
{
    if (o->pattern != PATTERN_ZIPF || !s->count) {
        return;
    }
    if (!tables.start) {
        tables.start = memory.low.start;
    }
    s->zipf = make_zipf(s->count, o->zipf_milli);
    tables.end = memory.low.start;
}

struct range pattern_tables(void)
{
    return tables;
}
