/* What a page holds: f(seed, page, epoch), of one of four kinds.
 *
 * random: 512 words of a second-order Weyl sequence: step = (i + 1) * STEP + a, word = sum of the
 * steps + b, all modulo 2^64, with a and b hashed from (seed, page, epoch). Compressors find nothing
 * in it, no word survives from one epoch to the next, and a word costs two additions. They are LEAs
 * on purpose: QEMU's translator must write out registers and lazy flags before every guest store,
 * and LEA has no flags.
 *
 * zero: zeros, whatever the epoch. constant: b in every word. delta: random of epoch 0, but for one
 * run of words, at a place of the page's own, which holds the beginning of random of the page's
 * epoch; a write changes the run and leaves the rest alone. */
#ifndef CONTENT_H
#define CONTENT_H

#include "cpu.h"
#include "options.h"

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

void content_init(const struct options *options);

/* Gives the page at `at` what it must hold in this epoch; a zero page that is one stays untouched. */
void content_put(uint64_t *at, enum content_kind kind, uint64_t page, uint32_t epoch);

/* True when the page at `at` holds that. */
bool content_holds(const uint64_t *at, enum content_kind kind, uint64_t page, uint32_t epoch);

/* One write of the load to a page of any kind but random: from the epoch before to this one. */
void content_rewrite(uint64_t *at, enum content_kind kind, uint64_t page, uint32_t epoch);

#endif
