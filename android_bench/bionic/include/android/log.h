#pragma once
enum { ANDROID_LOG_INFO = 4 };
int __android_log_write(int, const char*, const char*);
