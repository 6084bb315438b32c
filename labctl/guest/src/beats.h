/* The records that leave by the debug console (isa-debugcon, port 0xE9), all by vCPU 0.
 *
 * Little endian, packed. Each begins: u8 magic 0xB7, u8 type, u8 version 1, u8 length of the whole
 * record.
 *
 *   1 HELLO   u32 nonce, u64 tsc, u64 tsc_hz, u64 memory_bytes, u64 ws_bytes, u64 fill_bytes,
 *             u64 ws_start, u64 fill_start1, u64 fill_len1, u64 fill_start2, u64 fill_len2,
 *             u32 vcpus, u32 crc
 *   2 BEAT    u32 nonce, u32 seq, u64 tsc, u8 phase, u8 vcpus, u16 0, u32 work[vcpus], u8 crc
 *   3 REPORT  u32 nonce, u32 seq, u64 tsc, u64 pages_checked, u64 pages_bad,
 *             u64 first_bad_address, u8 work_regressed, u8 seq_regressed, u16 0, u8 crc
 *   4 LOAD    u32 nonce, u32 seq, u64 tsc, u64 start_tsc, u64 pages_written, u64 pages_read,
 *             7 x (u16 window_ms, u32 windows, u64 pages), u8 crc
 *
 * HELLO comes before the first beat and then about once a second; seq is that of the latest beat in
 * REPORT. The u8 crc is CRC-8 (polynomial x^8 + x^2 + x + 1 = 0x07, initial value 0, most
 * significant bit first, no reflection, no final XOR; "123456789" gives 0xF4) over all bytes before
 * it. The u32 crc is CRC-32 as in IEEE 802.3 and zlib ("123456789" gives 0xCBF43926) over all bytes
 * before it. */
#ifndef BEATS_H
#define BEATS_H

#include <stdbool.h>
#include <stdint.h>

#include "options.h"

enum phase { PHASE_BOOT, PHASE_FILL, PHASE_RUN, PHASE_CHECK, PHASE_CHECKED };

struct report {
    uint64_t pages_checked, pages_bad, first_bad_address;
    bool work_regressed, seq_regressed;
};

void beats_init(const struct options *options, uint64_t tsc_hz);

/* Sends a beat when one is due, and reads commands between beats when there is nothing else to
 * finish first. vCPU 0 calls it between any two pages and in every wait. Returns the TSC. */
uint64_t beats_tick(void);

void beats_phase(enum phase phase);

void beats_report(struct report report);

/* True when the sequence number and its copy elsewhere were ever seen to disagree. */
bool beats_seq_regressed(void);

#endif
