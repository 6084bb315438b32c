#include "options.h"

#include "console.h"
#include "cpu.h"
#include "profile.h"

enum { MAX_ZIPF_MILLI = 10000, MAX_READS_PPM = 990000 };

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

/* Reads a number that ends at `end`, or at the end of the word; returns where that is. */
static const char *digits(const char *text, unsigned base, char end, uint64_t *value)
{
    const char *digit = text;
    *value = 0;
    for (; !ends(*digit) && *digit != end; digit++) {
        unsigned d = (unsigned)(*digit | 0x20) - (*digit <= '9' ? '0' | 0x20 : 'a' - 10);
        if (*digit < '0' || d >= base || *value > (UINT64_MAX - d) / base) {
            give_up("not a number on the command line, at position", (uint64_t)(digit - text));
        }
        *value = *value * base + d;
    }
    if (digit == text) {
        give_up("a key without a value on the command line", 0);
    }
    return digit;
}

static uint64_t number(const char *text, unsigned base)
{
    uint64_t value;
    digits(text, base, '\0', &value);
    return value;
}

static uint32_t at_most(const char *text, uint32_t most, const char *complaint)
{
    uint64_t value = number(text, 10);
    if (value > most) {
        give_up(complaint, value);
    }
    return (uint32_t)value;
}

/* Which of `words`, which end with a null, the value is. */
static unsigned choice(const char *value, const char *const *words, const char *complaint)
{
    for (unsigned i = 0; words[i]; i++) {
        const char *end = after(value, words[i]);
        if (end && ends(*end)) {
            return i;
        }
    }
    give_up(complaint, 0);
}

static const char *const patterns[] = {"random", "sequential", "zipf", "once", NULL};
static const char *const contents[] = {"random", "zero", "constant", "delta", NULL};
static const char *const fills[] = {"random", "zero", "constant", NULL};

static void read_parts(struct options *o, const char *text)
{
    o->all_parts = 0;
    for (uint32_t i = 0; i < MAX_VCPUS; i++) {
        uint64_t part;
        text = digits(text, 10, ':', &part);
        if (part > MAX_PART) {
            give_up("a vCPU's part is too large:", part);
        }
        o->parts[i] = (uint32_t)part;
        o->all_parts += o->parts[i];
        if (ends(*text++)) {
            return;
        }
    }
    give_up("more parts than there can be vCPUs", 0);
}

static void read_steps(const char *text)
{
    do {
        uint64_t us, ppm;
        text = digits(text, 10, ':', &us);
        if (*text++ != ':') {
            give_up("a step of the profile is US:PPM, and one is not", us);
        }
        text = digits(text, 10, ',', &ppm);
        profile_add(us, ppm);
    } while (*text++ == ',');
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
        o->pattern = choice(v, patterns, "pattern is random, sequential, zipf or once");
    } else if ((v = after(word, "zipf="))) {
        o->zipf_milli = at_most(v, MAX_ZIPF_MILLI, "zipf is too large:");
    } else if ((v = after(word, "content="))) {
        o->content = choice(v, contents, "content is random, zero, constant or delta");
    } else if ((v = after(word, "delta="))) {
        o->delta_bytes = at_most(v, PAGE_SIZE, "delta is larger than a page:");
    } else if ((v = after(word, "fill="))) {
        o->fill = choice(v, fills, "fill is random, zero or constant");
    } else if ((v = after(word, "reads="))) {
        o->reads_ppm = at_most(v, MAX_READS_PPM, "reads is too large:");
    } else if ((v = after(word, "vcpus="))) {
        o->vcpus = (uint32_t)number(v, 10);
    } else if ((v = after(word, "parts="))) {
        read_parts(o, v);
    } else if ((v = after(word, "steps="))) {
        read_steps(v);
    } else if ((v = after(word, "seed="))) {
        o->seed = number(v, 10);
    } else if ((v = after(word, "beat_us="))) {
        o->beat_us = (uint32_t)number(v, 10);
    }
}

static void finish_parts(struct options *o)
{
    if (!o->all_parts) {
        for (uint32_t i = 0; i < MAX_VCPUS; i++) {
            o->parts[i] = i < o->vcpus;
        }
        o->all_parts = o->vcpus;
    }
    uint64_t below = 0;
    for (uint32_t i = 0; i < MAX_VCPUS; i++) {
        if (i >= o->vcpus && o->parts[i]) {
            give_up("more parts than vCPUs:", i + 1);
        }
        uint64_t first = o->ws_pages * below / o->all_parts;
        below += o->parts[i];
        if (o->rate_bytes_s && o->parts[i] && o->ws_pages * below / o->all_parts == first) {
            give_up("a working set of a page a vCPU at least is needed to write, pages:",
                    o->ws_pages);
        }
    }
}

struct options options_parse(const char *line)
{
    struct options o = {
        .vcpus = 1, .seed = 1, .beat_us = 500, .zipf_milli = 1000, .delta_bytes = 64};
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
    if (o.delta_bytes == 0 || o.delta_bytes % 8) {
        give_up("delta must be a multiple of 8, not", o.delta_bytes);
    }
    finish_parts(&o);
    return o;
}
