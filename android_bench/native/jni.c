/* The library of the app: org.tfconformer.bench.Native. */
#include <jni.h>
#include <stdlib.h>
#include <string.h>

#ifdef __ANDROID__
#include <android/log.h>
#endif

#include "benchmark.h"

typedef struct {
  JNIEnv* env;
  jobject listener;
  jmethodID progress;
} Listener;

/* An exception that the listener throws ends the run. */
static bool tell_listener(void* user, int done, int total, const char* stage) {
  const Listener* listener = user;
  JNIEnv* env = listener->env;
  jstring name = (*env)->NewStringUTF(env, stage);
  if (name == NULL) return false;
  (*env)->CallVoidMethod(env, listener->listener, listener->progress, (jint)done, (jint)total, name);
  (*env)->DeleteLocalRef(env, name);
  return !(*env)->ExceptionCheck(env);
}

static bool find_listener(JNIEnv* env, jobject progress, Listener* listener) {
  if (progress == NULL) return false;
  jclass type = (*env)->GetObjectClass(env, progress);
  *listener = (Listener){env, progress, (*env)->GetMethodID(env, type, "progress", "(IILjava/lang/String;)V")};
  (*env)->DeleteLocalRef(env, type);
  return listener->progress != NULL;
}

static void log_line(const Text* line) {
#ifdef __ANDROID__
  if (!line->failed) __android_log_write(ANDROID_LOG_INFO, "tfconformer", line->bytes);
#else
  (void)line;
#endif
}

static void run_command(char* command, const Host* host, Outcome* outcome) {
  const char* words[MAX_ARGUMENTS];
  Arguments arguments;
  Failure failure = {0};
  int count;
  bool understood = split_words(command, words, &count, &failure) &&
                    parse_arguments(count, words, count_processors(), &arguments, &failure);
  if (understood && arguments.help) understood = fail(&failure, RUN_BAD_ARGUMENTS, "%s", USAGE);
  if (understood) {
    run_benchmark(&arguments, host, outcome);
  } else {
    refuse_command(&failure, host, outcome);
  }
}

/* String run(String arguments, Progress progress): the report, also of a run that failed. A pending exception of the
 * listener goes on to the caller. */
static jstring run(JNIEnv* env, jclass type, jstring arguments, jobject progress) {
  (void)type;
  if (arguments == NULL) return NULL;
  const char* text = (*env)->GetStringUTFChars(env, arguments, NULL);
  char* command = text == NULL ? NULL : strdup(text);
  if (text != NULL) (*env)->ReleaseStringUTFChars(env, arguments, text);
  if (command == NULL) return NULL;
  Listener listener;
  const bool listens = find_listener(env, progress, &listener);
  const Host host = {.entry_point = "jni", .progress = listens ? tell_listener : NULL, .user = &listener};
  Outcome outcome;
  run_command(command, &host, &outcome);
  log_line(&outcome.summary);
  const bool complete = !outcome.report.failed && !(*env)->ExceptionCheck(env);
  jstring report = complete ? (*env)->NewStringUTF(env, outcome.report.bytes) : NULL;
  text_free(&outcome.report);
  text_free(&outcome.summary);
  free(command);
  return report;
}

static jstring version(JNIEnv* env, jclass type) {
  (void)type;
  return (*env)->NewStringUTF(env, BENCH_VERSION);
}

JNIEXPORT jint JNICALL JNI_OnLoad(JavaVM* machine, void* reserved) {
  (void)reserved;
  static const JNINativeMethod methods[] = {
      {(char*)"run", (char*)"(Ljava/lang/String;Lorg/tfconformer/bench/Progress;)Ljava/lang/String;", (void*)run},
      {(char*)"version", (char*)"()Ljava/lang/String;", (void*)version},
  };
  JNIEnv* env;
  if ((*machine)->GetEnv(machine, (void**)&env, JNI_VERSION_1_6) != JNI_OK) return JNI_ERR;
  jclass type = (*env)->FindClass(env, "org/tfconformer/bench/Native");
  if (type == NULL) return JNI_ERR;
  const jint status = (*env)->RegisterNatives(env, type, methods, sizeof methods / sizeof methods[0]);
  return status == JNI_OK ? JNI_VERSION_1_6 : JNI_ERR;
}
