/* The command line: key=value, separated by spaces; a key said twice counts as said last. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#define MAX_VCPUS 32u
#define MAX_PART 100u

enum pattern { PATTERN_RANDOM, PATTERN_SEQUENTIAL, PATTERN_ZIPF, PATTERN_ONCE };
enum content_kind { CONTENT_RANDOM, CONTENT_ZERO, CONTENT_CONSTANT, CONTENT_DELTA };

struct options {
    uint32_t nonce;            /* nonce=HEX      in every record, tells trials apart */
    uint64_t ws_pages;         /* ws=BYTES       working set, rounded down to whole pages */
    uint64_t rate_bytes_s;     /* rate=BYTES     of pages written per second, all vCPUs together */
    enum pattern pattern;      /* pattern=       random | sequential | zipf | once */
    uint32_t zipf_milli;       /* zipf=N         thousandths of its exponent */
    enum content_kind content; /* content=       random | zero | constant | delta: of a write */
    uint32_t delta_bytes;      /* delta=BYTES    that a write changes, a multiple of 8 */
    enum content_kind fill;    /* fill=          random | zero | constant: outside the working set */
    uint32_t reads_ppm;        /* reads=N        millionths of the accesses that are reads */
    uint32_t vcpus;            /* vcpus=N */
    uint32_t parts[MAX_VCPUS]; /* parts=N:N:...  of the working set and the rate; equal if not said */
    uint32_t all_parts;        /* their sum */
    uint64_t seed;             /* seed=N */
    uint32_t beat_us;          /* beat_us=N      period of the beats, at most 1000 */
};                             /* steps=US:PPM,...  the profile, see profile.h */

/* Gives up when a value cannot be read or is out of range; keys it does not know are skipped. */
struct options options_parse(const char *line);

#endif
