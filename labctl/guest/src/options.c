#include "options.h"

#include "console.h"
#include "cpu.h"

/* What follows `key` when `word` begins with it, else null. */
static const char *after(const char *word, const char *key)
{
    while (*key) {
        if (*word++ != *key++) {
            return NULL;
        }
    }
    return word;
}

static bool ends(char c)
{
    return c == '\0' || c == ' ';
}

static bool is(const char *value, const char *word)
{
    const char *end = after(value, word);
    return end && ends(*end);
}

static uint64_t number(const char *text, unsigned base)
{
    const char *digit = text;
    uint64_t value = 0;
    for (; !ends(*digit); digit++) {
        unsigned d = (unsigned)(*digit | 0x20) - (*digit <= '9' ? '0' | 0x20 : 'a' - 10);
        if (*digit < '0' || d >= base || value > (UINT64_MAX - d) / base) {
            give_up("not a number on the command line, at position", (uint64_t)(digit - text));
        }
        value = value * base + d;
    }
    if (digit == text) {
        give_up("a key without a value on the command line", 0);
    }
    return value;
}

static bool choice(const char *value, const char *no, const char *yes)
{
    if (!is(value, no) && !is(value, yes)) {
        give_up("pattern is random or sequential, fill is random or zero", 0);
    }
    return is(value, yes);
}

static void option(struct options *o, const char *word)
{
    const char *v;
    if ((v = after(word, "nonce="))) {
        o->nonce = (uint32_t)number(after(v, "0x") ? v + 2 : v, 16);
    } else if ((v = after(word, "ws="))) {
        o->ws_pages = number(v, 10) / PAGE_SIZE;
    } else if ((v = after(word, "rate="))) {
        o->rate_bytes_s = number(v, 10);
    } else if ((v = after(word, "pattern="))) {
        o->sequential = choice(v, "random", "sequential");
    } else if ((v = after(word, "fill="))) {
        o->fill_zero = choice(v, "random", "zero");
    } else if ((v = after(word, "vcpus="))) {
        o->vcpus = (uint32_t)number(v, 10);
    } else if ((v = after(word, "seed="))) {
        o->seed = number(v, 10);
    } else if ((v = after(word, "beat_us="))) {
        o->beat_us = (uint32_t)number(v, 10);
    }
}

struct options options_parse(const char *line)
{
    struct options o = {.vcpus = 1, .seed = 1, .beat_us = 500};
    while (*line) {
        if (*line == ' ') {
            line++;
            continue;
        }
        option(&o, line);
        while (!ends(*line)) {
            line++;
        }
    }
    if (o.vcpus < 1 || o.vcpus > MAX_VCPUS) {
        give_up("vcpus must be 1 to 0x20, not", o.vcpus);
    }
    if (o.beat_us < 100 || o.beat_us > 1000) {
        give_up("beat_us must be 100 to 1000, not", o.beat_us);
    }
    if (o.ws_pages < o.vcpus && o.rate_bytes_s) {
        give_up("a working set of a page a vCPU at least is needed to write, pages:", o.ws_pages);
    }
    return o;
}
