/* A stream of audio through a model of its own, utterance by utterance: what an app holds while it listens. The
 * interface is that of OnlineRecognizer and OnlineConverter (converters/streaming).
 *
 * A model for whole utterances computes nothing before the end of an utterance. A stream is not for use from several
 * threads at once, and streams are opened one after the other. */
#ifndef TFCONFORMER_BENCH_STREAM_H_
#define TFCONFORMER_BENCH_STREAM_H_

#include <stdbool.h>
#include <stdint.h>

#include "words.h"

typedef struct Stream Stream;

/* Opens a model that lies in a file from `offset` on, for example in an APK; the descriptor may be closed afterwards.
 * NULL with a failure. `converts` says which kind of model is expected, `lag_ms` by which time a converter begins
 * behind the speaker, 0 after the end of the utterance. */
Stream* stream_open(int descriptor, int64_t offset, int64_t size, int threads, bool converts, int lag_ms,
                    Failure* failure);
void stream_close(Stream* stream);

/* Samples a second of what is accepted, and of converted speech. */
int stream_sample_rate(const Stream* stream);

/* Takes samples in [-1, 1] and computes all whole steps. Fails for samples that are not finite or far outside, of which
 * it takes nothing, and after the end of the utterance. */
bool stream_accept(Stream* stream, const float* samples, int count, Failure* failure);
/* Ends the utterance and computes the rest. */
bool stream_finish(Stream* stream, Failure* failure);
/* Begins the next utterance, with the samples that wait for the rest of their step unless the utterance was ended. */
void stream_reset(Stream* stream);

/* True if the utterance is over by the rules of `endpoint.h`. */
bool stream_is_endpoint(const Stream* stream);
/* The words of the utterance so far; see `read_words`. */
bool stream_words(const Stream* stream, Words* words, Failure* failure);
/* Takes out the converted speech in [-1, 1] that was not taken before; valid until the next call. Returns the number of
 * samples. */
int stream_take_speech(Stream* stream, const float** samples);

#endif
