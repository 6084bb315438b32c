/* What a page holds: f(seed, page, epoch).
 *
 * 512 words of a second-order Weyl sequence: step = (i + 1) * STEP + a, word = sum of the steps +
 * b, all modulo 2^64, with a and b hashed from (seed, page, epoch). Compressors find nothing in it,
 * no word survives from one epoch to the next, and a word costs two additions. They are LEAs on
 * purpose: QEMU's translator must write out registers and lazy flags before every guest store, and
 * LEA has no flags. */
#ifndef CONTENT_H
#define CONTENT_H

#include "cpu.h"

struct content {
    uint64_t word, step;
};

#define CONTENT_STEP 0x9E3779B97F4A7C15ull

/* The finaliser of splitmix64 (Steele, Lea, Flood, OOPSLA'14). */
static inline uint64_t mix(uint64_t z)
{
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ z >> 27) * 0x94D049BB133111EBull;
    return z ^ z >> 31;
}

static inline struct content content_of(uint64_t seed, uint64_t page, uint32_t epoch)
{
    uint64_t step = mix(mix(seed + page * CONTENT_STEP) + epoch);
    return (struct content){mix(step), step};
}

/* Writes the whole page. */
static inline void content_write(uint64_t *at, struct content c)
{
    uint64_t *end = at + PAGE_SIZE / sizeof *at;
#define WORD(n)                                                                                    \
    "mov %[word], " #n "*8(%[at])\n"                                                               \
    "lea (%[step],%[k]), %[step]\n"                                                                \
    "lea (%[word],%[step]), %[word]\n"
    do {
        __asm__ volatile(WORD(0) WORD(1) WORD(2) WORD(3) WORD(4) WORD(5) WORD(6) WORD(7) WORD(8)
                             WORD(9) WORD(10) WORD(11) WORD(12) WORD(13) WORD(14) WORD(15)
                         : [word] "+r"(c.word), [step] "+r"(c.step)
                         : [at] "r"(at), [k] "r"(CONTENT_STEP)
                         : "memory");
        at += 16;
    } while (at != end);
#undef WORD
}

/* True when every word of the page is what it must be. */
static inline bool content_is(const uint64_t *at, struct content c)
{
    const uint64_t *end = at + PAGE_SIZE / sizeof *at;
    uint64_t wrong = 0;
    for (; at != end; at++) {
        wrong |= *at ^ c.word;
        c.step += CONTENT_STEP;
        c.word += c.step;
    }
    return !wrong;
}

static inline bool content_is_zero(const uint64_t *at)
{
    const uint64_t *end = at + PAGE_SIZE / sizeof *at;
    uint64_t wrong = 0;
    for (; at != end; at += 8) {
        wrong |= at[0] | at[1] | at[2] | at[3] | at[4] | at[5] | at[6] | at[7];
    }
    return !wrong;
}

#endif
