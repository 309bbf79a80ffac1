/* The library for apps of one's own: org.tfconformer.NativeStream. What may fail returns JSON, in which "error" is the
 * sentence of a failure; text beyond ASCII is escaped in it, so that it is a Java string whatever it is. */
#include <jni.h>

#include "stream.h"

static Stream* stream_of(jlong handle) { return (Stream*)(intptr_t)handle; }

static jstring to_java(JNIEnv* env, JsonWriter* json) {
  jstring text = json->text.failed ? NULL : (*env)->NewStringUTF(env, json->text.bytes);
  text_free(&json->text);
  return text;
}

static jstring error_of(JNIEnv* env, const Failure* failure) {
  JsonWriter json = {0};
  json_begin_object(&json, NULL);
  json_string(&json, "error", failure->message);
  json_end_object(&json);
  return to_java(env, &json);
}

/* String open(int descriptor, long offset, long size, int threads, boolean converts, int lagMillis) */
static jstring open_stream(JNIEnv* env, jclass type, jint descriptor, jlong offset, jlong size, jint threads,
                           jboolean converts, jint lag_ms) {
  (void)type;
  Failure failure = {0};
  Stream* stream = stream_open(descriptor, offset, size, threads, converts, lag_ms, &failure);
  if (stream == NULL) return error_of(env, &failure);
  JsonWriter json = {0};
  json_begin_object(&json, NULL);
  json_integer(&json, "stream", (int64_t)(intptr_t)stream);
  json_integer(&json, "sample_rate", stream_sample_rate(stream));
  json_end_object(&json);
  return to_java(env, &json);
}

/* String accept(long stream, float[] samples, int count): null, or an error */
static jstring accept_samples(JNIEnv* env, jclass type, jlong stream, jfloatArray samples, jint count) {
  (void)type;
  Failure failure = {0};
  jfloat* values = (*env)->GetFloatArrayElements(env, samples, NULL);
  if (values == NULL) return NULL; /* an OutOfMemoryError is pending */
  const bool done = stream_accept(stream_of(stream), values, count, &failure);
  (*env)->ReleaseFloatArrayElements(env, samples, values, JNI_ABORT);
  return done ? NULL : error_of(env, &failure);
}

/* String finish(long stream): null, or an error */
static jstring finish(JNIEnv* env, jclass type, jlong stream) {
  (void)type;
  Failure failure = {0};
  return stream_finish(stream_of(stream), &failure) ? NULL : error_of(env, &failure);
}

/* String words(long stream) */
static jstring words(JNIEnv* env, jclass type, jlong stream) {
  (void)type;
  Failure failure = {0};
  Words found = {0};
  jstring text;
  if (stream_words(stream_of(stream), &found, &failure)) {
    JsonWriter json = {0};
    json_begin_object(&json, NULL);
    write_words(&json, "words", &found);
    json_end_object(&json);
    text = to_java(env, &json);
  } else {
    text = error_of(env, &failure);
  }
  words_free(&found);
  return text;
}

/* float[] takeSpeech(long stream) */
static jfloatArray take_speech(JNIEnv* env, jclass type, jlong stream) {
  (void)type;
  const float* samples;
  const int count = stream_take_speech(stream_of(stream), &samples);
  jfloatArray speech = (*env)->NewFloatArray(env, count);
  if (speech != NULL && count > 0) (*env)->SetFloatArrayRegion(env, speech, 0, count, samples);
  return speech;
}

static jboolean is_endpoint_of(JNIEnv* env, jclass type, jlong stream) {
  (void)env, (void)type;
  return stream_is_endpoint(stream_of(stream)) ? JNI_TRUE : JNI_FALSE;
}

static void reset(JNIEnv* env, jclass type, jlong stream) {
  (void)env, (void)type;
  stream_reset(stream_of(stream));
}

static void close_stream(JNIEnv* env, jclass type, jlong stream) {
  (void)env, (void)type;
  stream_close(stream_of(stream));
}

JNIEXPORT jint JNICALL JNI_OnLoad(JavaVM* machine, void* reserved) {
  (void)reserved;
  static const JNINativeMethod methods[] = {
      {(char*)"open", (char*)"(IJJIZI)Ljava/lang/String;", (void*)open_stream},
      {(char*)"accept", (char*)"(J[FI)Ljava/lang/String;", (void*)accept_samples},
      {(char*)"finish", (char*)"(J)Ljava/lang/String;", (void*)finish},
      {(char*)"words", (char*)"(J)Ljava/lang/String;", (void*)words},
      {(char*)"takeSpeech", (char*)"(J)[F", (void*)take_speech},
      {(char*)"isEndpoint", (char*)"(J)Z", (void*)is_endpoint_of},
      {(char*)"reset", (char*)"(J)V", (void*)reset},
      {(char*)"close", (char*)"(J)V", (void*)close_stream},
  };
  JNIEnv* env;
  if ((*machine)->GetEnv(machine, (void**)&env, JNI_VERSION_1_6) != JNI_OK) return JNI_ERR;
  jclass type = (*env)->FindClass(env, "org/tfconformer/NativeStream");
  if (type == NULL) return JNI_ERR;
  const jint status = (*env)->RegisterNatives(env, type, methods, sizeof methods / sizeof methods[0]);
  return status == JNI_OK ? JNI_VERSION_1_6 : JNI_ERR;
}
