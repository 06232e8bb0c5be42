// Graph attention as loops over the edges: what _kernels.py and _gatv2.py compute by operations of
// torch, with the same arguments and results, on a CPU and for float and double.
//
// The sparsity pattern comes as in _csr.py. The entries of row i are those from indptr[i] to
// indptr[i + 1] - 1, and `indices` has the column of each. Those of column j are `order[n]` for n
// from column_indptr[j] to column_indptr[j + 1] - 1, and `rows` has the row of each of these.
// Entries have one number per head; rows and columns have `dim` numbers per head, side by side.
//
// A thread computes whole rows, or whole columns, so that no two write to the same place and a
// result does not depend on how many there are; but that of `a` is added up by thread.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <tuple>
#include <type_traits>
#include <vector>

namespace {

using at::Tensor;
using Perhaps = std::optional<Tensor>;

#if defined(_MSC_VER)
#define RESTRICT __restrict
#define SIMD
#define SIMD_SUM
inline void fetch(const void*) {}
#else
#define RESTRICT __restrict__
#define SIMD _Pragma("omp simd")
#define SIMD_SUM _Pragma("omp simd reduction(+ : sum)")
inline void fetch(const void* address) { __builtin_prefetch(address); }
#endif

// How many entries ahead the rows are fetched into the cache: they lie anywhere in memory.
constexpr int64_t kAhead = 6;

// How many numbers a thread should have to work on at least.
constexpr int64_t kGrain = 32768;

template <typename T>
const T* numbers(const Tensor& tensor) {
  return tensor.const_data_ptr<T>();
}

template <typename T>
const T* numbers(const Perhaps& tensor) {
  return tensor ? tensor->const_data_ptr<T>() : nullptr;
}

template <typename T>
void fetch_row(const T* row, int64_t width) {
  constexpr int64_t kLine = 64 / sizeof(T);
  for (int64_t k = 0; k < width; k += kLine) fetch(row + k);
}

// Calls a function with a size, which for the common ones the compiler knows.
template <typename F>
void with_size(int64_t size, F function) {
  switch (size) {
    case 1: return function(std::integral_constant<int64_t, 1>{});
    case 4: return function(std::integral_constant<int64_t, 4>{});
    case 8: return function(std::integral_constant<int64_t, 8>{});
    case 16: return function(std::integral_constant<int64_t, 16>{});
    case 32: return function(std::integral_constant<int64_t, 32>{});
    case 64: return function(std::integral_constant<int64_t, 64>{});
    default: return function(size);
  }
}

// Calls a function for ranges of rows; `work` is the size of what belongs to an entry.
template <typename F>
void for_rows(const Tensor& indptr, int64_t entries, int64_t work, F function) {
  const int64_t rows = indptr.numel() - 1;
  const int64_t each = std::max<int64_t>(entries * work / std::max<int64_t>(rows, 1), 1);
  at::parallel_for(0, rows, std::max<int64_t>(kGrain / each, 1), function);
}

template <typename T, typename Size>
inline void clear(T* RESTRICT to, Size size) {
  SIMD
  for (int64_t d = 0; d < size; ++d) to[d] = 0;
}

template <typename T, typename Size>
inline T dot(const T* RESTRICT one, const T* RESTRICT other, Size size) {
  T sum = 0;
  SIMD_SUM
  for (int64_t d = 0; d < size; ++d) sum += one[d] * other[d];
  return sum;
}

template <typename T, typename Size>
inline void add_scaled(T* RESTRICT to, T factor, const T* RESTRICT from, Size size) {
  SIMD
  for (int64_t d = 0; d < size; ++d) to[d] += factor * from[d];
}

template <typename T>
inline T leaky_relu(T x, T slope) {
  return std::max(x, T(0)) + slope * std::min(x, T(0));
}

// LeakyReLU(q_i + k_j + x_ij) for each entry (i, j), in each head.
Tensor pair_scores(
    const Tensor& of_rows, const Tensor& of_columns, const Perhaps& of_entries,
    double negative_slope, const Tensor& indptr, const Tensor& indices) {
  const int64_t entries = indices.numel();
  const Tensor queries = of_rows.contiguous(), keys = of_columns.contiguous();
  const Perhaps terms = of_entries ? Perhaps(of_entries->contiguous()) : std::nullopt;
  Tensor scores = at::empty({entries, queries.size(1)}, queries.options());
  const int64_t *first = numbers<int64_t>(indptr), *column = numbers<int64_t>(indices);
  AT_DISPATCH_FLOATING_TYPES(queries.scalar_type(), "pair_scores", [&] {
    const scalar_t *q = numbers<scalar_t>(queries), *k = numbers<scalar_t>(keys);
    const scalar_t* x = numbers<scalar_t>(terms);
    const scalar_t slope = negative_slope;
    scalar_t* to = scores.mutable_data_ptr<scalar_t>();
    with_size(queries.size(1), [=, &indptr](auto heads) {
      for_rows(indptr, entries, heads, [=](int64_t from, int64_t until) {
        for (int64_t i = from; i < until; ++i) {
          for (int64_t e = first[i]; e < first[i + 1]; ++e) {
            const scalar_t *of_i = q + i * heads, *of_j = k + column[e] * heads;
            scalar_t* RESTRICT score = to + e * heads;
            SIMD
            for (int64_t h = 0; h < heads; ++h) score[h] = of_i[h] + of_j[h];
            if (x) add_scaled(score, scalar_t(1), x + e * heads, heads);
            SIMD
            for (int64_t h = 0; h < heads; ++h) score[h] = leaky_relu(score[h], slope);
          }
        }
      });
    });
  });
  return scores;
}

// The gradients of q, k and x: those of the sums, added up for each row and for each column, and
// as such. A score has the sign of its sum.
std::tuple<Tensor, Tensor, Tensor> pair_scores_backward(
    const Tensor& of_scores, const Tensor& scores, double negative_slope, const Tensor& indptr,
    const Tensor& column_indptr, const Tensor& order) {
  const Tensor given = of_scores.contiguous();
  const int64_t entries = given.size(0), heads = given.size(1);
  Tensor of_rows = at::empty({indptr.numel() - 1, heads}, given.options());
  Tensor of_columns = at::empty({column_indptr.numel() - 1, heads}, given.options());
  Tensor of_entries = at::empty_like(given);
  const int64_t *first = numbers<int64_t>(indptr), *entry = numbers<int64_t>(order);
  const int64_t* first_of_column = numbers<int64_t>(column_indptr);
  AT_DISPATCH_FLOATING_TYPES(given.scalar_type(), "pair_scores_backward", [&] {
    const scalar_t *g = numbers<scalar_t>(given), *s = numbers<scalar_t>(scores);
    const scalar_t slope = negative_slope;
    scalar_t* of_q = of_rows.mutable_data_ptr<scalar_t>();
    scalar_t* of_k = of_columns.mutable_data_ptr<scalar_t>();
    scalar_t* of_x = of_entries.mutable_data_ptr<scalar_t>();
    with_size(heads, [=, &indptr, &column_indptr](auto heads) {
      for_rows(indptr, entries, heads, [=](int64_t from, int64_t until) {
        for (int64_t i = from; i < until; ++i) {
          scalar_t* RESTRICT sum = of_q + i * heads;
          clear(sum, heads);
          for (int64_t e = first[i]; e < first[i + 1]; ++e) {
            const scalar_t *of_e = g + e * heads, *score = s + e * heads;
            scalar_t* RESTRICT to = of_x + e * heads;
            SIMD
            for (int64_t h = 0; h < heads; ++h) {
              const scalar_t above = of_e[h], below = slope * above;
              to[h] = score[h] > 0 ? above : below;
              sum[h] += to[h];
            }
          }
        }
      });
      for_rows(column_indptr, entries, heads, [=](int64_t from, int64_t until) {
        for (int64_t j = from; j < until; ++j) {
          clear(of_k + j * heads, heads);
          for (int64_t n = first_of_column[j]; n < first_of_column[j + 1]; ++n) {
            if (n + kAhead < entries) fetch(of_x + entry[n + kAhead] * heads);
            add_scaled(of_k + j * heads, scalar_t(1), of_x + entry[n] * heads, heads);
          }
        }
      });
    });
  });
  return {of_rows, of_columns, of_entries};
}

// The scores, from which each row's largest is subtracted.
Tensor below_maxima(const Tensor& scores, const Tensor& indptr) {
  const int64_t heads = scores.size(1);
  Tensor shifted = at::empty_like(scores);
  const int64_t* first = numbers<int64_t>(indptr);
  AT_DISPATCH_FLOATING_TYPES(scores.scalar_type(), "below_maxima", [&] {
    const scalar_t* s = numbers<scalar_t>(scores);
    scalar_t* to = shifted.mutable_data_ptr<scalar_t>();
    for_rows(indptr, scores.size(0), heads, [=](int64_t from, int64_t until) {
      std::vector<scalar_t> largest(heads);
      for (int64_t i = from; i < until; ++i) {
        std::fill(largest.begin(), largest.end(), -std::numeric_limits<scalar_t>::infinity());
        for (int64_t e = first[i]; e < first[i + 1]; ++e)
          for (int64_t h = 0; h < heads; ++h)
            largest[h] = std::max(largest[h], s[e * heads + h]);
        for (int64_t e = first[i]; e < first[i + 1]; ++e)
          for (int64_t h = 0; h < heads; ++h)
            to[e * heads + h] = s[e * heads + h] - largest[h];
      }
    });
  });
  return shifted;
}

// alpha_ij = exp(e_ij) / sum_k exp(e_ik) and c_i = sum_j m_ij alpha_ij v_j, in each head.
std::tuple<Tensor, Tensor> softmax_and_sums(
    const Tensor& scores, const Tensor& values, const Perhaps& mask, bool subtract_maxima,
    const Tensor& indptr, const Tensor& indices) {
  const int64_t entries = indices.numel(), rows = indptr.numel() - 1;
  const int64_t heads = values.size(1), dim = values.size(2);
  const Tensor given = scores.contiguous(), of_columns = values.contiguous();
  const Perhaps kept = mask ? Perhaps(mask->contiguous()) : std::nullopt;
  Tensor weights = subtract_maxima ? below_maxima(given, indptr).exp_() : at::exp(given);
  Tensor sums = at::empty({rows, heads, dim}, values.options());
  const int64_t *first = numbers<int64_t>(indptr), *column = numbers<int64_t>(indices);
  AT_DISPATCH_FLOATING_TYPES(values.scalar_type(), "softmax_and_sums", [&] {
    const scalar_t *v = numbers<scalar_t>(of_columns), *m = numbers<scalar_t>(kept);
    scalar_t* alpha = weights.mutable_data_ptr<scalar_t>();
    scalar_t* c = sums.mutable_data_ptr<scalar_t>();
    with_size(dim, [=, &indptr](auto dim) {
      const int64_t width = heads * dim;
      for_rows(indptr, entries, width, [=](int64_t from, int64_t until) {
        std::vector<scalar_t> inverse(heads);
        for (int64_t i = from; i < until; ++i) {
          clear(inverse.data(), heads);
          for (int64_t e = first[i]; e < first[i + 1]; ++e)
            for (int64_t h = 0; h < heads; ++h) inverse[h] += alpha[e * heads + h];
          for (scalar_t& total : inverse) total = 1 / total;
          clear(c + i * width, width);
          for (int64_t e = first[i]; e < first[i + 1]; ++e) {
            if (e + kAhead < entries) fetch_row(v + column[e + kAhead] * width, width);
            for (int64_t h = 0; h < heads; ++h) {
              const scalar_t weight = alpha[e * heads + h] * inverse[h];
              alpha[e * heads + h] = weight;
              const scalar_t factor = m ? m[e * heads + h] * weight : weight;
              add_scaled(c + i * width + h * dim, factor, v + column[e] * width + h * dim, dim);
            }
          }
        }
      });
    });
  });
  return {sums, weights};
}

// The gradients of the scores and of the values, given those of c_i and, if the weights are used
// elsewhere too, of alpha_ij; see _SoftmaxAndSums.
std::tuple<Tensor, Tensor> softmax_and_sums_backward(
    const Tensor& of_sums, const Perhaps& of_weights, const Tensor& weights, const Tensor& values,
    const Perhaps& mask, const Tensor& indptr, const Tensor& indices,
    const Tensor& column_indptr, const Tensor& order, const Tensor& rows) {
  const int64_t entries = indices.numel(), heads = values.size(1), dim = values.size(2);
  const Tensor given = of_sums.contiguous(), of_columns = values.contiguous();
  const Perhaps kept = mask ? Perhaps(mask->contiguous()) : std::nullopt;
  const Perhaps used = of_weights ? Perhaps(of_weights->contiguous()) : std::nullopt;
  Tensor of_scores = at::empty_like(weights), of_values = at::empty_like(of_columns);
  const int64_t *first = numbers<int64_t>(indptr), *column = numbers<int64_t>(indices);
  const int64_t *first_of_column = numbers<int64_t>(column_indptr);
  const int64_t *entry = numbers<int64_t>(order), *row = numbers<int64_t>(rows);
  AT_DISPATCH_FLOATING_TYPES(values.scalar_type(), "softmax_and_sums_backward", [&] {
    const scalar_t *g = numbers<scalar_t>(given), *v = numbers<scalar_t>(of_columns);
    const scalar_t *alpha = numbers<scalar_t>(weights), *m = numbers<scalar_t>(kept);
    const scalar_t* more = numbers<scalar_t>(used);
    scalar_t* of_e = of_scores.mutable_data_ptr<scalar_t>();
    scalar_t* of_v = of_values.mutable_data_ptr<scalar_t>();
    with_size(dim, [=, &indptr, &column_indptr](auto dim) {
      const int64_t width = heads * dim;
      for_rows(indptr, entries, width, [=](int64_t from, int64_t until) {
        std::vector<scalar_t> mean(heads);  // sum_k alpha_ik times the gradient of alpha_ik
        for (int64_t i = from; i < until; ++i) {
          clear(mean.data(), heads);
          for (int64_t e = first[i]; e < first[i + 1]; ++e) {
            if (e + kAhead < entries) fetch_row(v + column[e + kAhead] * width, width);
            for (int64_t h = 0; h < heads; ++h) {
              const int64_t at = e * heads + h;
              scalar_t of_alpha =
                  dot(g + i * width + h * dim, v + column[e] * width + h * dim, dim);
              if (m) of_alpha *= m[at];
              if (more) of_alpha += more[at];
              of_e[at] = of_alpha;
              mean[h] += alpha[at] * of_alpha;
            }
          }
          for (int64_t e = first[i]; e < first[i + 1]; ++e)
            for (int64_t h = 0; h < heads; ++h)
              of_e[e * heads + h] = alpha[e * heads + h] * (of_e[e * heads + h] - mean[h]);
        }
      });
      for_rows(column_indptr, entries, width, [=](int64_t from, int64_t until) {
        for (int64_t j = from; j < until; ++j) {
          clear(of_v + j * width, width);
          for (int64_t n = first_of_column[j]; n < first_of_column[j + 1]; ++n) {
            if (n + kAhead < entries) {
              fetch_row(g + row[n + kAhead] * width, width);
              fetch(alpha + entry[n + kAhead] * heads);
            }
            for (int64_t h = 0; h < heads; ++h) {
              const int64_t at = entry[n] * heads + h;
              const scalar_t factor = m ? m[at] * alpha[at] : alpha[at];
              add_scaled(of_v + j * width + h * dim, factor, g + row[n] * width + h * dim, dim);
            }
          }
        }
      });
    });
  });
  return {of_scores, of_values};
}

// a^T LeakyReLU(q_i + k_j) for each entry (i, j), in each head.
Tensor gatv2_scores(
    const Tensor& queries, const Tensor& keys, const Tensor& a, double negative_slope,
    const Tensor& indptr, const Tensor& indices) {
  const int64_t entries = indices.numel(), heads = a.size(0);
  const Tensor of_rows = queries.contiguous(), of_columns = keys.contiguous();
  const Tensor vectors = a.contiguous();
  Tensor scores = at::empty({entries, heads}, queries.options());
  const int64_t *first = numbers<int64_t>(indptr), *column = numbers<int64_t>(indices);
  AT_DISPATCH_FLOATING_TYPES(queries.scalar_type(), "gatv2_scores", [&] {
    const scalar_t *q = numbers<scalar_t>(of_rows), *k = numbers<scalar_t>(of_columns);
    const scalar_t *vector = numbers<scalar_t>(vectors), slope = negative_slope;
    scalar_t* to = scores.mutable_data_ptr<scalar_t>();
    with_size(a.size(1), [=, &indptr](auto dim) {
      const int64_t width = heads * dim;
      for_rows(indptr, entries, width, [=](int64_t from, int64_t until) {
        for (int64_t i = from; i < until; ++i) {
          for (int64_t e = first[i]; e < first[i + 1]; ++e) {
            if (e + kAhead < entries) fetch_row(k + column[e + kAhead] * width, width);
            for (int64_t h = 0; h < heads; ++h) {
              const scalar_t *of_i = q + i * width + h * dim, *of_h = vector + h * dim;
              const scalar_t* of_j = k + column[e] * width + h * dim;
              scalar_t sum = 0;
              SIMD_SUM
              for (int64_t d = 0; d < dim; ++d)
                sum += of_h[d] * leaky_relu(of_i[d] + of_j[d], slope);
              to[e * heads + h] = sum;
            }
          }
        }
      });
    });
  });
  return scores;
}

// The gradients of q, k and a. With f_ij, the gradient of the score, and z_ij = q_i + k_j, that of
// q_i is sum_j f_ij LeakyReLU'(z_ij) a, that of k_j the same sum over i, and that of a
// sum_ij f_ij LeakyReLU(z_ij), where LeakyReLU(z) = LeakyReLU'(z) z.
std::tuple<Tensor, Tensor, Tensor> gatv2_scores_backward(
    const Tensor& of_scores, const Tensor& queries, const Tensor& keys, const Tensor& a,
    double negative_slope, const Tensor& indptr, const Tensor& indices,
    const Tensor& column_indptr, const Tensor& order, const Tensor& rows) {
  const int64_t entries = indices.numel(), heads = a.size(0);
  const Tensor given = of_scores.contiguous(), vectors = a.contiguous();
  const Tensor of_rows = queries.contiguous(), of_columns = keys.contiguous();
  Tensor of_queries = at::empty_like(of_rows), of_keys = at::empty_like(of_columns);
  Tensor of_a = at::zeros({at::get_num_threads(), heads, a.size(1)}, a.options());
  const int64_t *first = numbers<int64_t>(indptr), *column = numbers<int64_t>(indices);
  const int64_t *first_of_column = numbers<int64_t>(column_indptr);
  const int64_t *entry = numbers<int64_t>(order), *row = numbers<int64_t>(rows);
  AT_DISPATCH_FLOATING_TYPES(queries.scalar_type(), "gatv2_scores_backward", [&] {
    const scalar_t *q = numbers<scalar_t>(of_rows), *k = numbers<scalar_t>(of_columns);
    const scalar_t *vector = numbers<scalar_t>(vectors), *f = numbers<scalar_t>(given);
    const scalar_t slope = negative_slope;
    scalar_t* of_q = of_queries.mutable_data_ptr<scalar_t>();
    scalar_t* of_k = of_keys.mutable_data_ptr<scalar_t>();
    scalar_t* of_vector = of_a.mutable_data_ptr<scalar_t>();
    with_size(a.size(1), [=, &indptr, &column_indptr](auto dim) {
      const int64_t width = heads * dim;
      for_rows(indptr, entries, width, [=](int64_t from, int64_t until) {
        scalar_t* own = of_vector + at::get_thread_num() * width;
        for (int64_t i = from; i < until; ++i) {
          clear(of_q + i * width, width);
          for (int64_t e = first[i]; e < first[i + 1]; ++e) {
            if (e + kAhead < entries) fetch_row(k + column[e + kAhead] * width, width);
            for (int64_t h = 0; h < heads; ++h) {
              const scalar_t above = f[e * heads + h], below = slope * above;
              const scalar_t* RESTRICT of_i = q + i * width + h * dim;
              const scalar_t* RESTRICT of_j = k + column[e] * width + h * dim;
              scalar_t* RESTRICT sum = of_q + i * width + h * dim;
              scalar_t* RESTRICT weighted = own + h * dim;
              SIMD
              for (int64_t d = 0; d < dim; ++d) {
                const scalar_t z = of_i[d] + of_j[d], factor = z > 0 ? above : below;
                sum[d] += factor;
                weighted[d] += factor * z;
              }
            }
          }
          scalar_t* RESTRICT sum = of_q + i * width;
          SIMD
          for (int64_t d = 0; d < width; ++d) sum[d] *= vector[d];
        }
      });
      for_rows(column_indptr, entries, width, [=](int64_t from, int64_t until) {
        for (int64_t j = from; j < until; ++j) {
          clear(of_k + j * width, width);
          for (int64_t n = first_of_column[j]; n < first_of_column[j + 1]; ++n) {
            if (n + kAhead < entries) {
              fetch_row(q + row[n + kAhead] * width, width);
              fetch(f + entry[n + kAhead] * heads);
            }
            for (int64_t h = 0; h < heads; ++h) {
              const scalar_t above = f[entry[n] * heads + h], below = slope * above;
              const scalar_t* RESTRICT of_i = q + row[n] * width + h * dim;
              const scalar_t* RESTRICT of_j = k + j * width + h * dim;
              scalar_t* RESTRICT sum = of_k + j * width + h * dim;
              SIMD
              for (int64_t d = 0; d < dim; ++d) sum[d] += of_i[d] + of_j[d] > 0 ? above : below;
            }
          }
          scalar_t* RESTRICT sum = of_k + j * width;
          SIMD
          for (int64_t d = 0; d < width; ++d) sum[d] *= vector[d];
        }
      });
    });
  });
  return {of_queries, of_keys, of_a.sum(0)};
}

}  // namespace

TORCH_LIBRARY(gatutils, library) {
  library.def("pair_scores", &pair_scores);
  library.def("pair_scores_backward", &pair_scores_backward);
  library.def("softmax_and_sums", &softmax_and_sums);
  library.def("softmax_and_sums_backward", &softmax_and_sums_backward);
  library.def("gatv2_scores", &gatv2_scores);
  library.def("gatv2_scores_backward", &gatv2_scores_backward);
}
