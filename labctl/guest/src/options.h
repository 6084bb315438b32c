/* The command line: key=value, separated by spaces; a key said twice counts as said last. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#define MAX_VCPUS 32u

struct options {
    uint32_t nonce;        /* nonce=HEX      in every record, tells trials apart */
    uint64_t ws_pages;     /* ws=BYTES       working set, rounded down to whole pages */
    uint64_t rate_bytes_s; /* rate=BYTES     of pages written per second, all vCPUs together */
    bool sequential;       /* pattern=       random | sequential */
    bool fill_zero;        /* fill=          random | zero: the pages outside the working set */
    uint32_t vcpus;        /* vcpus=N */
    uint64_t seed;         /* seed=N */
    uint32_t beat_us;      /* beat_us=N      period of the beats, at most 1000 */
};

/* Gives up when a value cannot be read or is out of range; keys it does not know are skipped. */
struct options options_parse(const char *line);

#endif
