plugins {
    id("com.android.library")
}

fun setting(name: String): String = providers.gradleProperty(name).get()

android {
    namespace = setting("libraryNamespace")
    compileSdk = setting("targetSdk").toInt()
    // The first release that links shared libraries for pages of 16 KiB by default.
    ndkVersion = "28.0.13004108"

    defaultConfig {
        minSdk = setting("minSdk").toInt()
        ndk { abiFilters += "arm64-v8a" }
        externalNativeBuild {
            cmake { arguments += "-DCMAKE_BUILD_TYPE=Release" }
        }
        consumerProguardFiles("consumer-rules.pro")
    }

    externalNativeBuild {
        cmake { path = file("src/main/cpp/CMakeLists.txt") }
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_1_8
        targetCompatibility = JavaVersion.VERSION_1_8
    }
}

dependencies {
    // The runtime, which the native code opens by the name of its library.
    api("com.google.ai.edge.litert:litert:1.4.0")
}
