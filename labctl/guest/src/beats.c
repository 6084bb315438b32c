#include "beats.h"

#include "commands.h"
#include "cpu.h"
#include "curve.h"
#include "memory.h"
#include "writer.h"

enum { PORT = 0xE9, MAGIC = 0xB7, VERSION = 1, HELLO = 1, BEAT = 2, REPORT = 3, LOAD = 4 };
enum { POLL_BEATS = 2, LOAD_BEATS = 4, SHADOW_BEATS = 64 };

struct header {
    uint8_t magic, type, version, length;
    uint32_t nonce;
} __attribute__((packed));

struct hello {
    struct header header;
    uint64_t tsc, tsc_hz, memory_bytes, ws_bytes, fill_bytes, ws_start;
    struct {
        uint64_t start, length;
    } fill[2];
    uint32_t vcpus, crc;
} __attribute__((packed));

struct beat {
    struct header header;
    uint32_t seq;
    uint64_t tsc;
    uint8_t phase, vcpus;
    uint16_t reserved;
    uint32_t work[MAX_VCPUS];
    uint8_t crc; /* in fact behind the last vCPU there is */
} __attribute__((packed));

struct report_record {
    struct header header;
    uint32_t seq;
    uint64_t tsc, pages_checked, pages_bad, first_bad_address;
    uint8_t work_regressed, seq_regressed;
    uint16_t reserved;
    uint8_t crc;
} __attribute__((packed));

struct load_record {
    struct header header;
    uint32_t seq;
    uint64_t tsc, start_tsc, pages_written, pages_read;
    struct {
        uint16_t ms;
        uint32_t windows;
        uint64_t pages;
    } __attribute__((packed)) curve[CURVE_WINDOWS];
    uint8_t crc;
} __attribute__((packed));

HOT static struct {
    uint64_t due, period, tsc_hz, ws_pages;
    uint32_t nonce, seq, vcpus, hello_beats, next_tenths;
    enum phase phase;
    bool regressed;
    uint32_t *shadow; /* seq as of some beats ago, far from it */
} beats;

static void send(const void *record, size_t length)
{
    for (const uint8_t *byte = record; length; byte++, length--) {
        out8(PORT, *byte);
    }
}

static uint8_t crc8(const void *record, size_t length)
{
    uint8_t crc = 0;
    for (const uint8_t *byte = record; length; byte++, length--) {
        crc ^= *byte;
        for (int bit = 0; bit < 8; bit++) {
            crc = (uint8_t)(crc << 1 ^ (crc & 0x80 ? 0x07 : 0));
        }
    }
    return crc;
}

static uint32_t crc32(const void *record, size_t length)
{
    uint32_t crc = UINT32_MAX;
    for (const uint8_t *byte = record; length; byte++, length--) {
        crc ^= *byte;
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
        }
    }
    return ~crc;
}

static struct header header(uint8_t type, size_t length)
{
    return (struct header){MAGIC, type, VERSION, (uint8_t)length, beats.nonce};
}

static void send_hello(void)
{
    uint64_t ws = beats.ws_pages, low = memory.low_pages;
    uint64_t ws_low = ws < low ? ws : low, ws_high = ws - ws_low;
    struct hello h = {
        .header = header(HELLO, sizeof h),
        .tsc = rdtsc(),
        .tsc_hz = beats.tsc_hz,
        .memory_bytes = memory.usable_bytes,
        .ws_bytes = ws * PAGE_SIZE,
        .fill_bytes = memory.pages * PAGE_SIZE,
        .ws_start = memory.low.start,
        .fill = {{memory.low.start + ws_low * PAGE_SIZE, (low - ws_low) * PAGE_SIZE},
                 {memory.high.start + ws_high * PAGE_SIZE,
                  (memory.pages - low - ws_high) * PAGE_SIZE}},
        .vcpus = beats.vcpus,
    };
    h.crc = crc32(&h, offsetof(struct hello, crc));
    send(&h, sizeof h);
}

static void send_beat(uint64_t tsc)
{
    struct beat b;
    size_t length = offsetof(struct beat, work) + beats.vcpus * sizeof *b.work + sizeof b.crc;
    b.header = header(BEAT, length);
    b.seq = beats.seq;
    b.tsc = tsc;
    b.phase = (uint8_t)beats.phase;
    b.vcpus = (uint8_t)beats.vcpus;
    b.reserved = 0;
    for (uint32_t i = 0; i < beats.vcpus; i++) {
        b.work[i] = (uint32_t)writer_work(i);
    }
    ((uint8_t *)&b)[length - 1] = crc8(&b, length - 1);
    send(&b, length);
}

/* When all vCPUs have come a tenth of a second further. */
static void send_load(void)
{
    struct load_done done;
    if (!curve_done(&done) || done.tenths < beats.next_tenths) {
        return;
    }
    beats.next_tenths = done.tenths + 1;
    struct load_record r = {
        .header = header(LOAD, sizeof r),
        .seq = beats.seq,
        .tsc = rdtsc(),
        .start_tsc = curve_started(),
        .pages_written = done.written,
        .pages_read = done.read,
    };
    for (int i = 0; i < CURVE_WINDOWS; i++) {
        r.curve[i].ms = curve_window_ms[i];
        r.curve[i].windows = (uint32_t)done.windows[i];
        r.curve[i].pages = done.pages[i];
    }
    r.crc = crc8(&r, offsetof(struct load_record, crc));
    send(&r, sizeof r);
}

void beats_init(const struct options *options, uint64_t tsc_hz)
{
    beats.nonce = options->nonce;
    beats.vcpus = options->vcpus;
    beats.ws_pages = options->ws_pages;
    beats.tsc_hz = tsc_hz;
    beats.period = tsc_hz / 1000000 * options->beat_us;
    beats.hello_beats = 1000000 / options->beat_us;
    beats.shadow = memory_take(PAGE_SIZE);
    *beats.shadow = beats.seq - SHADOW_BEATS;
    beats.due = rdtsc();
}

/* A TSC that jumped back leaves `due` more than a period away: that is seen in the beats, so they
 * must go on. */
static inline bool not_yet(uint64_t now)
{
    uint64_t left = beats.due - now;
    return left != 0 && left <= beats.period;
}

static __attribute__((noinline)) void tick(uint64_t now)
{
    if (beats.seq % beats.hello_beats == 0) {
        send_hello();
    }
    send_beat(now);
    if (beats.seq % LOAD_BEATS == 0 && beats.phase == PHASE_RUN) {
        send_load();
    }
    if (beats.seq % SHADOW_BEATS == 0) {
        beats.regressed |= beats.seq - *beats.shadow != SHADOW_BEATS;
        *beats.shadow = beats.seq;
    }
    if (beats.seq % POLL_BEATS == 0 && (beats.phase == PHASE_RUN || beats.phase == PHASE_CHECKED)) {
        commands_poll();
    }
    beats.seq++;
    beats.due += beats.period;
    if (!not_yet(now)) { /* beats that were missed are not made up for */
        beats.due = now + beats.period;
    }
}

HOT_CODE uint64_t beats_tick(void)
{
    uint64_t now = rdtsc();
    if (!not_yet(now)) {
        tick(now);
    }
    return now;
}

void beats_phase(enum phase phase)
{
    beats.phase = phase;
}

void beats_report(struct report report)
{
    struct report_record r = {
        .header = header(REPORT, sizeof r),
        .seq = beats.seq - 1,
        .tsc = rdtsc(),
        .pages_checked = report.pages_checked,
        .pages_bad = report.pages_bad,
        .first_bad_address = report.first_bad_address,
        .work_regressed = report.work_regressed,
        .seq_regressed = report.seq_regressed,
    };
    r.crc = crc8(&r, offsetof(struct report_record, crc));
    send(&r, sizeof r);
}

bool beats_seq_regressed(void)
{
    return beats.regressed || beats.seq - 1 - *beats.shadow >= SHADOW_BEATS;
}
