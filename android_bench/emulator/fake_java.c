#include "fake_java.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_METHODS = 16 };

static JNINativeMethod registered[MOST_METHODS];
static int methods;
static const char* known_class;

static jclass find_class(JNIEnv* env, const char* name) {
  (void)env;
  return strcmp(name, known_class) == 0 ? (jclass)name : NULL;
}

static jint register_natives(JNIEnv* env, jclass type, const JNINativeMethod* list, jint count) {
  (void)env, (void)type;
  for (methods = 0; methods < count && methods < MOST_METHODS; ++methods) registered[methods] = list[methods];
  return count <= MOST_METHODS ? JNI_OK : JNI_ERR;
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

static jfloat* get_floats(JNIEnv* env, jfloatArray array, jboolean* copy) {
  (void)env, (void)copy;
  return ((Floats*)array)->values;
}

static void release_floats(JNIEnv* env, jfloatArray array, jfloat* values, jint mode) {
  (void)env, (void)array, (void)values, (void)mode;
}

static jfloatArray new_floats(JNIEnv* env, jsize count) {
  (void)env;
  Floats* array = malloc(sizeof *array);
  if (array != NULL) *array = (Floats){count, malloc((size_t)count * sizeof(jfloat) + 1)};
  return (jfloatArray)array;
}

static void set_floats(JNIEnv* env, jfloatArray array, jsize begin, jsize count, const jfloat* values) {
  (void)env;
  memcpy(((Floats*)array)->values + begin, values, (size_t)count * sizeof *values);
}

struct JNINativeInterface_ java_functions = {
    .FindClass = find_class,
    .RegisterNatives = register_natives,
    .GetStringUTFChars = get_chars,
    .ReleaseStringUTFChars = release_chars,
    .NewStringUTF = new_string,
    .GetFloatArrayElements = get_floats,
    .ReleaseFloatArrayElements = release_floats,
    .NewFloatArray = new_floats,
    .SetFloatArrayRegion = set_floats,
};

JNIEnv* java_environment(void) {
  static JNIEnv environment = &java_functions;
  return &environment;
}

static jint get_environment(JavaVM* machine, void** env, jint version) {
  (void)machine, (void)version;
  *env = java_environment();
  return JNI_OK;
}

bool load_library(const char* path, const char* class_name) {
  struct JNIInvokeInterface_ invoke = {.GetEnv = get_environment};
  JavaVM machine = &invoke;
  jint (*on_load)(JavaVM*, void*);
  known_class = class_name;
  void* library = dlopen(path, RTLD_NOW);
  if (library == NULL) {
    fprintf(stderr, "%s\n", dlerror());
    return false;
  }
  *(void**)&on_load = dlsym(library, "JNI_OnLoad");
  return on_load != NULL && on_load(&machine, NULL) == JNI_VERSION_1_6;
}

void* find_method(const char* name) {
  for (int i = 0; i < methods; ++i) {
    if (strcmp(registered[i].name, name) == 0) return registered[i].fnPtr;
  }
  return NULL;
}
