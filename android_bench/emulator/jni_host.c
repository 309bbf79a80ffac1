/* Loads the app's library as Android's runtime does and calls it, with the few functions of Java that it needs:
 *
 *   jni_host LIBRARY ARGUMENTS [STOP]
 *
 * prints the report. The listener prints its calls on standard error; with STOP it throws when the timed runs
 * begin. */
#include <dlfcn.h>
#include <jni.h>
#include <stdio.h>
#include <string.h>

typedef jstring (*Run)(JNIEnv* env, jclass type, jstring arguments, jobject progress);
typedef jstring (*Version)(JNIEnv* env, jclass type);

static JNINativeMethod registered[4];
static int methods, heard;
static const char* stop;
static jboolean thrown;

static jclass find_class(JNIEnv* env, const char* name) {
  (void)env;
  return strcmp(name, "org/tfconformer/bench/Native") == 0 ? (jclass)name : NULL;
}

static jint register_natives(JNIEnv* env, jclass type, const JNINativeMethod* list, jint count) {
  (void)env, (void)type;
  for (methods = 0; methods < count && methods < 4; ++methods) registered[methods] = list[methods];
  return JNI_OK;
}

static const char* get_chars(JNIEnv* env, jstring text, jboolean* copy) {
  (void)env, (void)copy;
  return (const char*)text;
}

static void release_chars(JNIEnv* env, jstring text, const char* chars) { (void)env, (void)text, (void)chars; }

static jstring new_string(JNIEnv* env, const char* chars) {
  (void)env;
  return (jstring)strdup(chars);
}

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
  ++heard;
  thrown = stop != NULL && strcmp(stage, "timed runs") == 0;
  fprintf(stderr, "progress %d/%d %s\n", done, total, stage);
}

static void delete_reference(JNIEnv* env, jobject object) { (void)env, (void)object; }

static jboolean exception_check(JNIEnv* env) {
  (void)env;
  return thrown;
}

static struct JNINativeInterface_ functions;
static JNIEnv environment = &functions;

static jint get_environment(JavaVM* machine, void** env, jint version) {
  (void)machine, (void)version;
  *env = &environment;
  return JNI_OK;
}

static void* find_method(const char* name) {
  for (int i = 0; i < methods; ++i) {
    if (strcmp(registered[i].name, name) == 0) return registered[i].fnPtr;
  }
  return NULL;
}

int main(int count, char** words) {
  functions = (struct JNINativeInterface_){.FindClass = find_class,
                                           .RegisterNatives = register_natives,
                                           .GetStringUTFChars = get_chars,
                                           .ReleaseStringUTFChars = release_chars,
                                           .NewStringUTF = new_string,
                                           .GetObjectClass = get_class,
                                           .GetMethodID = get_method,
                                           .CallVoidMethod = call_void,
                                           .DeleteLocalRef = delete_reference,
                                           .ExceptionCheck = exception_check};
  struct JNIInvokeInterface_ invoke = {.GetEnv = get_environment};
  JavaVM machine = &invoke;
  if (count < 3) return 2;
  stop = count > 3 ? words[3] : NULL;
  void* library = dlopen(words[1], RTLD_NOW);
  if (library == NULL) {
    fprintf(stderr, "%s\n", dlerror());
    return 1;
  }
  jint (*on_load)(JavaVM*, void*);
  *(void**)&on_load = dlsym(library, "JNI_OnLoad");
  if (on_load == NULL || on_load(&machine, NULL) != JNI_VERSION_1_6) return 1;
  Run run;
  Version version;
  *(void**)&run = find_method("run");
  *(void**)&version = find_method("version");
  if (run == NULL || version == NULL) return 1;
  fprintf(stderr, "version %s\n", (const char*)version(&environment, NULL));
  jstring report = run(&environment, NULL, (jstring)words[2], (jobject) "listener");
  fprintf(stderr, "heard %d\n", heard);
  if (report != NULL) puts((const char*)report);
  return report == NULL;
}
