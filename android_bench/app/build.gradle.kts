plugins {
    id("com.android.application")
}

fun setting(name: String): String = providers.gradleProperty(name).get()

android {
    namespace = setting("applicationId")
    compileSdk = setting("targetSdk").toInt()
    // The first release that links shared libraries for pages of 16 KiB by default.
    ndkVersion = "28.0.13004108"

    defaultConfig {
        applicationId = setting("applicationId")
        versionCode = setting("versionCode").toInt()
        versionName = setting("versionName")
        minSdk = setting("minSdk").toInt()
        targetSdk = setting("targetSdk").toInt()
        ndk { abiFilters += "arm64-v8a" }
        externalNativeBuild {
            // Timings of unoptimized native code mislead, so a debug build of the app has release code too.
            cmake { arguments += "-DCMAKE_BUILD_TYPE=Release" }
        }
    }

    sourceSets["main"].assets.srcDir("../../build/android/assets")

    externalNativeBuild {
        cmake { path = file("src/main/cpp/CMakeLists.txt") }
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_1_8
        targetCompatibility = JavaVersion.VERSION_1_8
    }

    androidResources { noCompress += listOf("tflite", "reference") }

    buildTypes {
        release { signingConfig = signingConfigs["debug"] }
    }
}

dependencies {
    implementation(project(":library"))
}
