#include "profile.h"

#include "console.h"
#include "cpu.h"

/* What the command line said: it must never change, so it lies beside the page tables. */
static struct step steps[PROFILE_STEPS] __attribute__((section(".bss.fixed")));
static uint32_t count __attribute__((section(".bss.fixed")));

static struct {
    uint64_t tsc_hz, start, period;
} profile;

void profile_add(uint64_t us, uint64_t ppm)
{
    if (count == PROFILE_STEPS) {
        give_up("more steps in the profile than", PROFILE_STEPS);
    }
    if (us == 0 || us > UINT32_MAX || ppm > UINT32_MAX) {
        give_up("a step of the profile is out of range, number", count);
    }
    steps[count++] = (struct step){(uint32_t)us, (uint32_t)ppm};
}

bool profile_constant(void)
{
    return count == 0;
}

static uint64_t ticks(uint32_t index)
{
    return muldiv(steps[index].length_us, profile.tsc_hz, 1000000);
}

void profile_start(uint64_t tsc_hz, uint64_t start)
{
    profile.tsc_hz = tsc_hz;
    profile.start = start;
    profile.period = 0;
    for (uint32_t i = 0; i < count; i++) {
        profile.period += ticks(i);
    }
}

struct place profile_at(uint64_t tsc)
{
    if (count == 0) {
        return (struct place){tsc, UINT64_MAX, 0, PROFILE_ONE};
    }
    uint64_t into = tsc > profile.start ? (tsc - profile.start) % profile.period : 0;
    uint64_t start = tsc - into;
    uint32_t i = 0;
    for (; i + 1 < count && start + ticks(i) <= tsc; i++) {
        start += ticks(i);
    }
    return (struct place){start, start + ticks(i), i, steps[i].share_ppm};
}

struct place profile_after(struct place place)
{
    uint32_t i = place.index + 1 < count ? place.index + 1 : 0;
    return (struct place){place.end, place.end + ticks(i), i, steps[i].share_ppm};
}
