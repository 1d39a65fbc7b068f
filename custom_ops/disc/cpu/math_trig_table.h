// Tables for the reduction of arguments of sin, cos and tan by pi / 2.
#ifndef TF_BLADE_CUSTOM_OPS_DISC_CPU_MATH_TRIG_TABLE_H_
#define TF_BLADE_CUSTOM_OPS_DISC_CPU_MATH_TRIG_TABLE_H_

#include <stdint.h>

namespace blade {
namespace math {

// clang-format off
// Element i of the three has 2^i * 2 / pi modulo 4 as a sum of three numbers, of which the first two have 28 bits, so
// that their products with a 24 bit significand are exact. The last elements serve infinity and NaN.
static constexpr double kTwoOverPiHigh[106] = {
    0x1.45f306cp-1, 0x1.45f306cp+0, 0x1.45f306cp+1, 0x1.17cc1b6p+0, 0x1.17cc1b6p+1, 0x1.7cc1b72p-2, 0x1.7cc1b72p-1,
    0x1.7cc1b72p+0, 0x1.7cc1b72p+1, 0x1.f306dc8p+0, 0x1.f306dc8p+1, 0x1.e60db92p+1, 0x1.cc1b726p+1, 0x1.9836e4ep+1,
    0x1.306dc9cp+1, 0x1.836e4e4p-1, 0x1.836e4e4p+0, 0x1.836e4e4p+1, 0x1.06dc9c8p+1, 0x1.b72722p-4, 0x1.b72722p-3,
    0x1.b72722p-2, 0x1.b72722p-1, 0x1.b72722p+0, 0x1.b72722p+1, 0x1.6e4e44p+1, 0x1.b939104p+0, 0x1.b939104p+1,
    0x1.727220ap+1, 0x1.c9c882ap+0, 0x1.c9c882ap+1, 0x1.9391054p+1, 0x1.27220a8p+1, 0x1.391054ap-1, 0x1.391054ap+0,
    0x1.391054ap+1, 0x1.c882a52p-1, 0x1.c882a52p+0, 0x1.c882a52p+1, 0x1.91054a6p+1, 0x1.220a94ep+1, 0x1.1054a7ep-1,
    0x1.1054a7ep+0, 0x1.1054a7ep+1, 0x1.054a7fp-2, 0x1.054a7fp-1, 0x1.054a7fp+0, 0x1.054a7fp+1, 0x1.529fc26p-4,
    0x1.529fc26p-3, 0x1.529fc26p-2, 0x1.529fc26p-1, 0x1.529fc26p+0, 0x1.529fc26p+1, 0x1.4a7f09cp+0, 0x1.4a7f09cp+1,
    0x1.29fc274p+0, 0x1.29fc274p+1, 0x1.4fe13aap-1, 0x1.4fe13aap+0, 0x1.4fe13aap+1, 0x1.3f84eaep+0, 0x1.3f84eaep+1,
    0x1.fc2757cp-1, 0x1.fc2757cp+0, 0x1.fc2757cp+1, 0x1.f84eafap+1, 0x1.f09d5f4p+1, 0x1.e13abe8p+1, 0x1.c2757dp+1,
    0x1.84eafa2p+1, 0x1.09d5f46p+1, 0x1.3abe8fap-3, 0x1.3abe8fap-2, 0x1.3abe8fap-1, 0x1.3abe8fap+0, 0x1.3abe8fap+1,
    0x1.d5f47d4p-1, 0x1.d5f47d4p+0, 0x1.d5f47d4p+1, 0x1.abe8fa8p+1, 0x1.57d1f52p+1, 0x1.5f47d4cp+0, 0x1.5f47d4cp+1,
    0x1.7d1f534p+0, 0x1.7d1f534p+1, 0x1.f47d4d2p+0, 0x1.f47d4d2p+1, 0x1.e8fa9a6p+1, 0x1.d1f534cp+1, 0x1.a3ea69ap+1,
    0x1.47d4d36p+1, 0x1.1f534dcp+0, 0x1.1f534dcp+1, 0x1.f534ddcp-2, 0x1.f534ddcp-1, 0x1.f534ddcp+0, 0x1.f534ddcp+1,
    0x1.ea69bb8p+1, 0x1.d4d377p+1, 0x1.a9a6eep+1, 0x1.534ddcp+1, 0x1.4d37702p+0, 0x1.4d37702p+1, 0x1.34ddc0cp+0, 0.0,
};
static constexpr double kTwoOverPiMiddle[106] = {
    0x1.c9c882ap-29, 0x1.c9c882ap-28, 0x1.c9c882ap-27, 0x1.27220a8p-28, 0x1.27220a8p-27, 0x1.c882a52p-32,
    0x1.c882a52p-31, 0x1.c882a52p-30, 0x1.c882a52p-29, 0x1.c882a52p-28, 0x1.c882a52p-27, 0x1.91054a6p-27,
    0x1.220a94ep-27, 0x1.1054a7ep-29, 0x1.1054a7ep-28, 0x1.054a7fp-31, 0x1.054a7fp-30, 0x1.054a7fp-29, 0x1.054a7fp-28,
    0x1.529fc26p-33, 0x1.529fc26p-32, 0x1.529fc26p-31, 0x1.529fc26p-30, 0x1.529fc26p-29, 0x1.529fc26p-28,
    0x1.529fc26p-27, 0x1.4a7f09cp-28, 0x1.4a7f09cp-27, 0x1.29fc274p-28, 0x1.4fe13aap-30, 0x1.4fe13aap-29,
    0x1.4fe13aap-28, 0x1.4fe13aap-27, 0x1.fc2757cp-31, 0x1.fc2757cp-30, 0x1.fc2757cp-29, 0x1.f84eafap-29,
    0x1.f84eafap-28, 0x1.f84eafap-27, 0x1.f09d5f4p-27, 0x1.e13abe8p-27, 0x1.09d5f46p-29, 0x1.09d5f46p-28,
    0x1.09d5f46p-27, 0x1.3abe8fap-31, 0x1.3abe8fap-30, 0x1.3abe8fap-29, 0x1.3abe8fap-28, 0x1.57d1f52p-32,
    0x1.57d1f52p-31, 0x1.57d1f52p-30, 0x1.57d1f52p-29, 0x1.57d1f52p-28, 0x1.57d1f52p-27, 0x1.5f47d4cp-28,
    0x1.5f47d4cp-27, 0x1.7d1f534p-28, 0x1.7d1f534p-27, 0x1.e8fa9a6p-29, 0x1.e8fa9a6p-28, 0x1.e8fa9a6p-27,
    0x1.a3ea69ap-28, 0x1.a3ea69ap-27, 0x1.1f534dcp-29, 0x1.1f534dcp-28, 0x1.1f534dcp-27, 0x1.f534ddcp-30,
    0x1.f534ddcp-29, 0x1.f534ddcp-28, 0x1.f534ddcp-27, 0x1.ea69bb8p-27, 0x1.d4d377p-27, 0x1.34ddc0cp-32,
    0x1.34ddc0cp-31, 0x1.34ddc0cp-30, 0x1.34ddc0cp-29, 0x1.34ddc0cp-28, 0x1.a6ee06cp-30, 0x1.a6ee06cp-29,
    0x1.a6ee06cp-28, 0x1.a6ee06cp-27, 0x1.4ddc0dap-27, 0x1.377036cp-28, 0x1.377036cp-27, 0x1.bb81b6cp-29,
    0x1.bb81b6cp-28, 0x1.77036d8p-28, 0x1.77036d8p-27, 0x1.dc0db62p-28, 0x1.dc0db62p-27, 0x1.b81b6c4p-27,
    0x1.7036d8ap-27, 0x1.c0db628p-28, 0x1.c0db628p-27, 0x1.b6c52b2p-35, 0x1.b6c52b2p-34, 0x1.b6c52b2p-33,
    0x1.b6c52b2p-32, 0x1.b6c52b2p-31, 0x1.b6c52b2p-30, 0x1.b6c52b2p-29, 0x1.b6c52b2p-28, 0x1.6d8a566p-28,
    0x1.6d8a566p-27, 0x1.b629598p-28, 0.0,
};
static constexpr double kTwoOverPiLow[106] = {
    0x1.4fe13abe8fa9ap-59, 0x1.4fe13abe8fa9ap-58, 0x1.4fe13abe8fa9ap-57, 0x1.4fe13abe8fa9ap-56, 0x1.4fe13abe8fa9ap-55,
    0x1.f84eafa3ea69cp-60, 0x1.f84eafa3ea69cp-59, 0x1.f84eafa3ea69cp-58, 0x1.f84eafa3ea69cp-57, 0x1.f84eafa3ea69cp-56,
    0x1.f84eafa3ea69cp-55, 0x1.f09d5f47d4d37p-55, 0x1.e13abe8fa9a6fp-55, 0x1.09d5f47d4d377p-57, 0x1.09d5f47d4d377p-56,
    0x1.3abe8fa9a6eep-60, 0x1.3abe8fa9a6eep-59, 0x1.3abe8fa9a6eep-58, 0x1.3abe8fa9a6eep-57, 0x1.57d1f534ddc0ep-61,
    0x1.57d1f534ddc0ep-60, 0x1.57d1f534ddc0ep-59, 0x1.57d1f534ddc0ep-58, 0x1.57d1f534ddc0ep-57, 0x1.57d1f534ddc0ep-56,
    0x1.57d1f534ddc0ep-55, 0x1.5f47d4d377037p-56, 0x1.5f47d4d377037p-55, 0x1.7d1f534ddc0dbp-56, 0x1.e8fa9a6ee06dbp-58,
    0x1.e8fa9a6ee06dbp-57, 0x1.e8fa9a6ee06dbp-56, 0x1.e8fa9a6ee06dbp-55, 0x1.1f534ddc0db63p-59, 0x1.1f534ddc0db63p-58,
    0x1.1f534ddc0db63p-57, 0x1.f534ddc0db629p-60, 0x1.f534ddc0db629p-59, 0x1.f534ddc0db629p-58, 0x1.f534ddc0db629p-57,
    0x1.f534ddc0db629p-56, 0x1.d4d377036d8a5p-57, 0x1.d4d377036d8a5p-56, 0x1.d4d377036d8a5p-55, 0x1.34ddc0db6295ap-60,
    0x1.34ddc0db6295ap-59, 0x1.34ddc0db6295ap-58, 0x1.34ddc0db6295ap-57, 0x1.4ddc0db629599p-60, 0x1.4ddc0db629599p-59,
    0x1.4ddc0db629599p-58, 0x1.4ddc0db629599p-57, 0x1.4ddc0db629599p-56, 0x1.4ddc0db629599p-55, 0x1.377036d8a5665p-56,
    0x1.377036d8a5665p-55, 0x1.bb81b6c52b328p-57, 0x1.bb81b6c52b328p-56, 0x1.dc0db6295993cp-58, 0x1.dc0db6295993cp-57,
    0x1.dc0db6295993cp-56, 0x1.b81b6c52b3279p-56, 0x1.b81b6c52b3279p-55, 0x1.c0db6295993c4p-57, 0x1.c0db6295993c4p-56,
    0x1.c0db6295993c4p-55, 0x1.b6c52b3278872p-63, 0x1.b6c52b3278872p-62, 0x1.b6c52b3278872p-61, 0x1.b6c52b3278872p-60,
    0x1.b6c52b3278872p-59, 0x1.b6c52b3278872p-58, 0x1.b6295993c439p-60, 0x1.b6295993c439p-59, 0x1.b6295993c439p-58,
    0x1.b6295993c439p-57, 0x1.b6295993c439p-56, 0x1.b14acc9e21c82p-58, 0x1.b14acc9e21c82p-57, 0x1.b14acc9e21c82p-56,
    0x1.b14acc9e21c82p-55, 0x1.6295993c43904p-55, 0x1.8a5664f10e41p-56, 0x1.8a5664f10e41p-55, 0x1.4acc9e21c821p-59,
    0x1.4acc9e21c821p-58, 0x1.4acc9e21c821p-57, 0x1.4acc9e21c821p-56, 0x1.2b3278872084p-57, 0x1.2b3278872084p-56,
    0x1.2b3278872084p-55, 0x1.5993c439041fep-57, 0x1.5993c439041fep-56, 0x1.5993c439041fep-55, 0x1.278872083fca3p-63,
    0x1.278872083fca3p-62, 0x1.278872083fca3p-61, 0x1.278872083fca3p-60, 0x1.278872083fca3p-59, 0x1.278872083fca3p-58,
    0x1.278872083fca3p-57, 0x1.278872083fca3p-56, 0x1.3c439041fe516p-58, 0x1.3c439041fe516p-57, 0x1.3c439041fe516p-56,
    0.0,
};

// The first 1280 binary digits of 2 / pi, the most significant first.
static constexpr uint64_t kTwoOverPiDigits[20] = {
    0xa2f9836e4e441529u, 0xfc2757d1f534ddc0u, 0xdb6295993c439041u, 0xfe5163abdebbc561u,
    0xb7246e3a424dd2e0u, 0x06492eea09d1921cu, 0xfe1deb1cb129a73eu, 0xe88235f52ebb4484u,
    0xe99c7026b45f7e41u, 0x3991d639835339f4u, 0x9c845f8bbdf9283bu, 0x1ff897ffde05980fu,
    0xef2f118b5a0a6d1fu, 0x6d367ecf27cb09b7u, 0x4f463f669e5fea2du, 0x7527bac7ebe5f17bu,
    0x3d0739f78a5292eau, 0x6bfb5fb11f8d5d08u, 0x56033046fc7b6babu, 0xf0cfbc209af4361du,
};

// clang-format on

}  // namespace math
}  // namespace blade

#endif  // TF_BLADE_CUSTOM_OPS_DISC_CPU_MATH_TRIG_TABLE_H_
