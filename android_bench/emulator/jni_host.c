/* Calls the benchmark's library as its app does:
 *
 *   jni_host LIBRARY ARGUMENTS [STOP]
 *
 * prints the report. The listener prints its calls on standard error; with STOP it throws when the timed runs
 * begin. */
#include <stdio.h>
#include <string.h>

#include "fake_java.h"

typedef jstring (*Run)(JNIEnv* env, jclass type, jstring arguments, jobject progress);
typedef jstring (*Version)(JNIEnv* env, jclass type);

static int calls;
static const char* stop;
static jboolean thrown;

static jclass get_class(JNIEnv* env, jobject object) {
  (void)env;
  return object;
}

static jmethodID get_method(JNIEnv* env, jclass type, const char* name, const char* signature) {
  (void)env, (void)type;
  return strcmp(name, "progress") == 0 && strcmp(signature, "(IILjava/lang/String;)V") == 0 ? (jmethodID)name : NULL;
}

static void call_void(JNIEnv* env, jobject object, jmethodID method, ...) {
  (void)env, (void)object;
  va_list arguments;
  va_start(arguments, method);
  const int done = va_arg(arguments, jint), total = va_arg(arguments, jint);
  const char* stage = (const char*)va_arg(arguments, jstring);
  va_end(arguments);
  ++calls;
  thrown = stop != NULL && strcmp(stage, "timed runs") == 0;
  fprintf(stderr, "progress %d/%d %s\n", done, total, stage);
}

static void delete_reference(JNIEnv* env, jobject object) { (void)env, (void)object; }

static jboolean exception_check(JNIEnv* env) {
  (void)env;
  return thrown;
}

int main(int count, char** words) {
  java_functions.GetObjectClass = get_class;
  java_functions.GetMethodID = get_method;
  java_functions.CallVoidMethod = call_void;
  java_functions.DeleteLocalRef = delete_reference;
  java_functions.ExceptionCheck = exception_check;
  if (count < 3) return 2;
  stop = count > 3 ? words[3] : NULL;
  if (!load_library(words[1], "org/tfconformer/bench/Native")) return 1;
  JNIEnv* env = java_environment();
  Run run;
  Version version;
  *(void**)&run = find_method("run");
  *(void**)&version = find_method("version");
  if (run == NULL || version == NULL) return 1;
  fprintf(stderr, "version %s\n", (const char*)version(env, NULL));
  jstring report = run(env, NULL, (jstring)words[2], (jobject) "listener");
  fprintf(stderr, "calls %d\n", calls);
  if (report != NULL) puts((const char*)report);
  return report == NULL;
}
