// Looks through the bytes of heads, sixteen at once where the processor can. What is found is the same byte by byte.
#ifndef CLINUX_SCAN_H
#define CLINUX_SCAN_H
#include <stddef.h>
#include <stdint.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

// Where the first byte stands that no field value may hold, a control byte other than tab (RFC 9110 section 5.5);
// `count` when there is none.
static inline size_t edge_control_byte(const uint8_t *bytes, size_t count) {
  size_t index = 0;
#ifdef __SSE2__
  const __m128i last = _mm_set1_epi8(0x1f), tab = _mm_set1_epi8(0x09), deleted = _mm_set1_epi8(0x7f);
  for (; index + 16 <= count; index += 16) {
    const __m128i block = _mm_loadu_si128((const __m128i *)(bytes + index));
    const __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(block, last), block);
    const __m128i found =
        _mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(block, tab), low), _mm_cmpeq_epi8(block, deleted));
    const unsigned mask = (unsigned)_mm_movemask_epi8(found);
    if (mask != 0) return index + (size_t)__builtin_ctz(mask);
  }
#endif
  for (; index < count; index++) {
    const uint8_t byte = bytes[index];
    if ((byte < 0x20 && byte != 0x09) || byte == 0x7f) return index;
  }
  return count;
}

// How many bytes from the start are letters, digits and dashes, of which most field names are made.
static inline size_t edge_plain_name(const uint8_t *bytes, size_t count) {
  size_t index = 0;
#ifdef __SSE2__
  const __m128i fold = _mm_set1_epi8(0x20), a = _mm_set1_epi8('a'), zero = _mm_set1_epi8('0');
  const __m128i letters = _mm_set1_epi8(25), digits = _mm_set1_epi8(9), dash = _mm_set1_epi8('-');
  for (; index + 16 <= count; index += 16) {
    const __m128i block = _mm_loadu_si128((const __m128i *)(bytes + index));
    const __m128i letter = _mm_sub_epi8(_mm_or_si128(block, fold), a);
    const __m128i digit = _mm_sub_epi8(block, zero);
    const __m128i plain = _mm_or_si128(
        _mm_or_si128(
            _mm_cmpeq_epi8(_mm_min_epu8(letter, letters), letter), _mm_cmpeq_epi8(_mm_min_epu8(digit, digits), digit)),
        _mm_cmpeq_epi8(block, dash));
    const unsigned mask = (unsigned)_mm_movemask_epi8(plain) ^ 0xffff;
    if (mask != 0) return index + (size_t)__builtin_ctz(mask);
  }
#endif
  for (; index < count; index++) {
    const uint8_t byte = bytes[index], folded = byte | 0x20;
    if (!((folded >= 'a' && folded <= 'z') || (byte >= '0' && byte <= '9') || byte == '-')) return index;
  }
  return count;
}

#endif
