#include "content.h"

enum { WORDS = PAGE_SIZE / sizeof(uint64_t) };

static struct {
    uint64_t seed, delta_words;
} contents;

void content_init(const struct options *o)
{
    contents.seed = o->seed;
    contents.delta_words = o->delta_bytes / sizeof(uint64_t);
}

static void write_word(uint64_t *at, uint64_t word)
{
    for (uint64_t *end = at + WORDS; at != end; at += 8) {
        at[0] = at[1] = at[2] = at[3] = at[4] = at[5] = at[6] = at[7] = word;
    }
}

static bool is_word(const uint64_t *at, uint64_t word)
{
    uint64_t wrong = 0;
    for (const uint64_t *end = at + WORDS; at != end; at += 8) {
        wrong |= (at[0] ^ word) | (at[1] ^ word) | (at[2] ^ word) | (at[3] ^ word) |
                 (at[4] ^ word) | (at[5] ^ word) | (at[6] ^ word) | (at[7] ^ word);
    }
    return !wrong;
}

static struct content after(struct content c)
{
    uint64_t step = c.step + CONTENT_STEP;
    return (struct content){c.word + step, step};
}

/* Where the words that a write changes begin. */
static uint64_t run_of(uint64_t page)
{
    uint64_t places = WORDS - contents.delta_words + 1;
    return (content_of(contents.seed, page, 0).word >> 32) * places >> 32;
}

static void write_run(uint64_t *at, uint64_t page, uint32_t epoch)
{
    struct content c = content_of(contents.seed, page, epoch);
    at += run_of(page);
    for (uint64_t i = 0; i < contents.delta_words; i++, c = after(c)) {
        at[i] = c.word;
    }
}

static bool is_delta(const uint64_t *at, uint64_t page, uint32_t epoch)
{
    struct content base = content_of(contents.seed, page, 0);
    struct content run = content_of(contents.seed, page, epoch);
    uint64_t first = run_of(page), wrong = 0;
    for (uint64_t i = 0; i < WORDS; i++, base = after(base)) {
        bool in_run = i - first < contents.delta_words;
        wrong |= at[i] ^ (in_run ? run.word : base.word);
        run = in_run ? after(run) : run;
    }
    return !wrong;
}

void content_put(uint64_t *at, enum content_kind kind, uint64_t page, uint32_t epoch)
{
    if (kind == CONTENT_ZERO && is_word(at, 0)) {
        return; /* a page never touched stays so; the firmware's leavings do not */
    }
    if (kind == CONTENT_RANDOM || kind == CONTENT_DELTA) {
        content_write(at, content_of(contents.seed, page, kind == CONTENT_DELTA ? 0 : epoch));
    }
    if (kind != CONTENT_RANDOM) {
        content_rewrite(at, kind, page, epoch);
    }
}

void content_rewrite(uint64_t *at, enum content_kind kind, uint64_t page, uint32_t epoch)
{
    if (kind == CONTENT_DELTA) {
        write_run(at, page, epoch);
    } else {
        write_word(at, kind == CONTENT_ZERO ? 0 : content_of(contents.seed, page, epoch).word);
    }
}

bool content_holds(const uint64_t *at, enum content_kind kind, uint64_t page, uint32_t epoch)
{
    switch (kind) {
    case CONTENT_ZERO:
        return is_word(at, 0);
    case CONTENT_CONSTANT:
        return is_word(at, content_of(contents.seed, page, epoch).word);
    case CONTENT_DELTA:
        return is_delta(at, page, epoch);
    default:
        return content_is(at, content_of(contents.seed, page, epoch));
    }
}
