/* SHA-256 (FIPS 180-4), by which a report names the model it is about. */
#ifndef TFCONFORMER_BENCH_SHA256_H_
#define TFCONFORMER_BENCH_SHA256_H_

#include <stddef.h>
#include <stdint.h>

enum { SHA256_BYTES = 32, SHA256_TEXT_SIZE = 65 };

void sha256(const uint8_t* bytes, size_t count, uint8_t digest[SHA256_BYTES]);
/* As lower-case hexadecimal digits with a zero byte at the end. */
void sha256_text(const uint8_t digest[SHA256_BYTES], char text[SHA256_TEXT_SIZE]);

#endif
