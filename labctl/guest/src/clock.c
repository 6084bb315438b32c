#include "clock.h"

#include "console.h"
#include "cpu.h"

/* The counter of the PIT is latched between two readings of the TSC. A vCPU thread can lose its core at any
 * of these instructions, which only ever moves the readings apart: of several tries the tightest is kept.
 * Five anchors 8 ms apart make four windows and stay below the 55 ms after which 16 bits wrap; a wrap or a
 * disturbance that was not seen shows as windows that disagree. */

enum { PIT_HZ = 1193182, PIT_CHANNEL_2 = 0x42, PIT_COMMAND = 0x43, SPEAKER = 0x61 };
enum { ANCHORS = 5, TRIES = 8, WINDOW_TICKS = PIT_HZ / 125, ATTEMPTS = 10 };
enum { GOOD_PPM = 200, AGREE_PPM = 1000 };

struct anchor {
    uint64_t tsc, width; /* middle and distance of the two readings */
    uint16_t count;      /* runs down */
};

static void pit_start(void)
{
    out8(SPEAKER, (uint8_t)((in8(SPEAKER) & ~2u) | 1u)); /* gate on, sound off */
    out8(PIT_COMMAND, 0xB4);                             /* channel 2, both bytes, rate generator */
    out8(PIT_CHANNEL_2, 0);
    out8(PIT_CHANNEL_2, 0);
}

static struct anchor anchor(void)
{
    struct anchor best = {.width = UINT64_MAX};
    for (int i = 0; i < TRIES; i++) {
        uint64_t before = rdtsc();
        out8(PIT_COMMAND, 0x80); /* latch channel 2 */
        uint64_t after = rdtsc();
        uint16_t low = in8(PIT_CHANNEL_2), high = in8(PIT_CHANNEL_2);
        if (after - before < best.width) {
            best = (struct anchor){before + (after - before) / 2, after - before, (uint16_t)(high << 8 | low)};
        }
    }
    return best;
}

static struct anchor anchor_after(struct anchor start, uint16_t ticks)
{
    for (int patience = 100000; patience; patience--) {
        struct anchor a = anchor();
        if ((uint16_t)(start.count - a.count) >= ticks) {
            return a;
        }
    }
    give_up("channel 2 of the PIT does not count, at", start.count);
}

static uint64_t hz_between(struct anchor a, struct anchor b)
{
    return (b.tsc - a.tsc) * PIT_HZ / (uint16_t)(a.count - b.count);
}

/* One calibration; its uncertainty in parts per million, or a million when the windows disagree. */
static uint64_t attempt(uint64_t *hz)
{
    struct anchor a[ANCHORS] = {anchor()};
    uint64_t least = UINT64_MAX, most = 0;
    for (int i = 1; i < ANCHORS; i++) {
        a[i] = anchor_after(a[i - 1], WINDOW_TICKS);
        uint64_t window_hz = hz_between(a[i - 1], a[i]);
        least = window_hz < least ? window_hz : least;
        most = window_hz > most ? window_hz : most;
    }
    struct anchor first = a[0], last = a[ANCHORS - 1];
    *hz = hz_between(first, last);
    if ((most - least) > *hz / (1000000 / AGREE_PPM)) {
        return 1000000;
    }
    return (first.width + last.width) / 2 * 1000000 / (last.tsc - first.tsc);
}

uint64_t clock_calibrate(void)
{
    pit_start();
    uint64_t best_hz = 0, best_ppm = UINT64_MAX;
    for (int i = 0; i < ATTEMPTS && best_ppm > GOOD_PPM; i++) {
        uint64_t hz, ppm = attempt(&hz);
        if (ppm < best_ppm) {
            best_ppm = ppm;
            best_hz = hz;
        }
    }
    return best_hz;
}

void clock_wait_us(uint64_t hz, uint64_t us)
{
    uint64_t start = rdtsc();
    while (rdtsc() - start < hz / 1000000 * us) {
        relax();
    }
}
