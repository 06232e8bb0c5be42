// Graph attention as loops over the edges: what _gat.py, _gatv2.py and _kernels.py compute by
// operations of torch, with the same arguments and results, on a CPU and for float and double.
//
// The sparsity pattern comes as in _csr.py. The entries of row i are those from indptr[i] to
// indptr[i + 1] - 1, and `indices` has the column of each. Those of column j are `order[n]` for n
// from column_indptr[j] to column_indptr[j + 1] - 1, and `rows` has the row of each of these.
// Entries have one number per head; rows and columns have `dim` numbers per head, side by side.
//
// A thread computes whole rows, or whole columns, so that no two write to the same place, and a
// result does not depend on how many there are. Only the gradient of `a` does, up to rounding: each
// thread adds up its own part.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <tuple>
#include <type_traits>
#include <vector>

namespace {

using at::Tensor;
using Perhaps = std::optional<Tensor>;

#define RESTRICT __restrict__
#define SIMD _Pragma("omp simd")
#define SIMD_SUM _Pragma("omp simd reduction(+ : sum)")
#define UNROLL _Pragma("GCC unroll 16")

// How many entries ahead a state is fetched into the cache.
constexpr int64_t kAhead = 16;

// How many numbers a thread should have to work on at least.
constexpr int64_t kGrain = 32768;

// Raises unless a tensor lies on the CPU and its sizes are those: otherwise a loop would read
// beyond its end.
void expect(const Tensor& tensor, const char* name, at::IntArrayRef sizes) {
  TORCH_CHECK(tensor.device().is_cpu(), name, ": expected a tensor on the CPU, got ",
              tensor.device());
  TORCH_CHECK(tensor.sizes() == sizes, name, ": expected shape ", sizes, ", got ", tensor.sizes());
}

void expect(const Perhaps& tensor, const char* name, at::IntArrayRef sizes) {
  if (tensor) expect(*tensor, name, sizes);
}

void expect_rows(const Tensor& indptr, const Tensor& indices) {
  TORCH_CHECK(indptr.dim() == 1 && indptr.numel() > 0, "indptr: expected one axis");
  expect(indptr, "indptr", indptr.sizes());
  expect(indices, "indices", {indices.numel()});
}

void expect_columns(const Tensor& indptr, const Tensor& order, const Tensor& rows,
                    int64_t columns, int64_t entries) {
  expect(indptr, "column_indptr", {columns + 1});
  expect(order, "order", {entries});
  expect(rows, "rows", {entries});
}

template <typename T>
const T* numbers(const Tensor& tensor) {
  return tensor.const_data_ptr<T>();
}

template <typename T>
const T* numbers(const Perhaps& tensor) {
  return tensor ? tensor->const_data_ptr<T>() : nullptr;
}

// Fetches numbers into the cache that will be needed soon: they lie anywhere in memory.
template <typename T, typename Size>
inline void fetch(const T* from, Size size) {
  constexpr int64_t kLine = 64 / sizeof(T);
  UNROLL
  for (int64_t k = 0; k < size; k += kLine) __builtin_prefetch(from + k);
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

template <typename Size>
constexpr bool kKnown = !std::is_same_v<Size, int64_t>;

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

// 32 bytes of numbers, with which the compiler calculates at once.
template <typename T>
struct Lanes {
  typedef T Vector __attribute__((vector_size(32)));
  static constexpr int64_t kCount = 32 / sizeof(T);
};

// Some entries of a row or of a column: their numbers, and where the states at their other ends
// begin. Without `members`, entry n is the n-th.
template <typename T>
struct Entries {
  const int64_t* members;
  const int64_t* ends;
  const T* weights;
  const T* states;
  int64_t count, heads, width;

  const T* weights_of(int64_t n) const { return weights + (members ? members[n] : n) * heads; }
  const T* state_of(int64_t n) const { return states + ends[n] * width; }
};

// The part of a weighted sum of states that fits into `vectors` registers; the part begins with a
// head, or lies in one.
template <int64_t vectors, typename T, typename Size>
inline void sum_part(
    const Entries<T>& given, int64_t from, int64_t until, int64_t at, Size dim, T* to) {
  using Vector = typename Lanes<T>::Vector;
  constexpr int64_t kCount = Lanes<T>::kCount;
  const Entries<T> entries = given;  // a copy, which stays in registers
  const int64_t head = at / dim;
  Vector sums[vectors];
  UNROLL
  for (int64_t k = 0; k < vectors; ++k) sums[k] = Vector{};
  for (int64_t n = from; n < until; ++n) {
    if (n + kAhead < entries.count) {
      fetch(entries.state_of(n + kAhead) + at, std::integral_constant<int64_t, vectors * kCount>{});
      if (entries.members && at == 0) __builtin_prefetch(entries.weights_of(n + kAhead));
    }
    const T *weights = entries.weights_of(n) + head, *state = entries.state_of(n) + at;
    UNROLL
    for (int64_t k = 0; k < vectors; ++k) {
      Vector values;
      std::memcpy(&values, state + k * kCount, sizeof(values));
      sums[k] += weights[k * kCount / dim] * values;
    }
  }
  UNROLL
  for (int64_t k = 0; k < vectors; ++k) std::memcpy(to + at + k * kCount, &sums[k], sizeof(Vector));
}

// sum_n w_n s_n over the entries of each row, or of each column, in each head.
template <typename T>
void weighted_sums(const Tensor& bounds, const Entries<T>& entries, int64_t dim, T* sums) {
  const int64_t* first = numbers<int64_t>(bounds);
  with_size(dim, [=, &bounds](auto dim) {
    for_rows(bounds, entries.count, entries.width, [=](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t from = first[i], until = first[i + 1];
        T* to = sums + i * entries.width;
        if (kKnown<decltype(dim)> && dim % Lanes<T>::kCount == 0) {
          constexpr int64_t kCount = Lanes<T>::kCount;
          int64_t at = 0;
          for (; at + 8 * kCount <= entries.width; at += 8 * kCount)
            sum_part<8>(entries, from, until, at, dim, to);
          for (; at + 2 * kCount <= entries.width; at += 2 * kCount)
            sum_part<2>(entries, from, until, at, dim, to);
          for (; at < entries.width; at += kCount)
            sum_part<1>(entries, from, until, at, dim, to);
          continue;
        }
        clear(to, entries.width);
        for (int64_t n = from; n < until; ++n) {
          for (int64_t h = 0; h < entries.heads; ++h)
            add_scaled(
                to + h * dim, entries.weights_of(n)[h], entries.state_of(n) + h * dim, dim);
        }
      }
    });
  });
}

// What one thread has added up of the gradient of `a`. In double precision, since there are as many
// terms as entries: in single precision, a sum of 2^24 equal terms no longer grows.
class ThreadSum {
 public:
  ThreadSum(const Tensor& by_thread, int64_t width)
      : to_(by_thread.mutable_data_ptr<double>() + at::get_thread_num() * width), width_(width) {
    TORCH_CHECK(at::get_thread_num() < by_thread.size(0), "more threads than PyTorch has");
  }

  // Adds some terms' sum, and clears it.
  template <typename T>
  void add(std::vector<T>& terms) {
    for (int64_t k = 0; k < width_; ++k) to_[k] += terms[k];
    std::fill(terms.begin(), terms.end(), 0);
  }

 private:
  double* to_;
  int64_t width_;
};

Tensor thread_sums(int64_t heads, int64_t width) {
  return at::zeros({at::get_num_threads(), heads, width}, at::kDouble);
}

template <typename T>
inline T leaky_relu(T x, T slope) {
  return std::max(x, T(0)) + slope * std::min(x, T(0));
}

// a^T s_n for each node's state s_n, in each head. The numbers of `a` are those at an offset among
// the 2 dim numbers of each head.
template <typename T>
void products(const T* states, const T* vectors, int64_t a, int64_t nodes, int64_t heads,
              int64_t dim, T* to) {
  with_size(dim, [=](auto dim) {
    at::parallel_for(0, nodes, kGrain / (heads * dim) + 1, [=](int64_t from, int64_t until) {
      for (int64_t n = from; n < until; ++n)
        for (int64_t h = 0; h < heads; ++h)
          to[n * heads + h] =
              dot(states + (n * heads + h) * dim, vectors + 2 * h * dim + a, dim);
    });
  });
}

// LeakyReLU(a_1^T q_i + a_2^T k_j + x_ij) for each entry (i, j), in each head; then all products
// with queries and keys. Without keys the queries are the keys too, and may be more than there are
// rows.
std::tuple<Tensor, Tensor> gat_scores(
    const Tensor& queries, const Perhaps& keys, const Tensor& a, const Perhaps& terms,
    double negative_slope, const Tensor& indptr, const Tensor& indices) {
  expect_rows(indptr, indices);
  TORCH_CHECK(queries.dim() == 3, "queries: expected (nodes, heads, dim), got ", queries.sizes());
  const int64_t entries = indices.numel(), rows = indptr.numel() - 1;
  const int64_t heads = queries.size(1), dim = queries.size(2);
  TORCH_CHECK(queries.size(0) >= rows, "queries: expected ", rows, " or more, got ",
              queries.size(0));
  expect(queries, "queries", queries.sizes());
  if (keys) expect(keys, "keys", {keys->size(0), heads, dim});
  expect(a, "a", {heads, 2 * dim});
  expect(terms, "terms", {entries, heads});
  const Tensor of_rows = queries.contiguous(), vectors = a.contiguous();
  const Tensor of_columns = keys ? keys->contiguous() : of_rows;
  const Perhaps of_entries = terms ? Perhaps(terms->contiguous()) : std::nullopt;
  Tensor scores = at::empty({entries, heads}, queries.options());
  Tensor halves = at::empty({(rows + of_columns.size(0)) * heads}, queries.options());
  const int64_t *first = numbers<int64_t>(indptr), *column = numbers<int64_t>(indices);
  AT_DISPATCH_FLOATING_TYPES(queries.scalar_type(), "gat_scores", [&] {
    const scalar_t *vector = numbers<scalar_t>(vectors), *x = numbers<scalar_t>(of_entries);
    const scalar_t slope = negative_slope;
    scalar_t* q = halves.mutable_data_ptr<scalar_t>();
    scalar_t* k = q + rows * heads;
    scalar_t* to = scores.mutable_data_ptr<scalar_t>();
    const int64_t nodes = of_columns.size(0);
    products(numbers<scalar_t>(of_rows), vector, 0, rows, heads, dim, q);
    products(numbers<scalar_t>(of_columns), vector, dim, nodes, heads, dim, k);
    with_size(heads, [=, &indptr](auto heads) {
      for_rows(indptr, entries, heads, [=](int64_t from, int64_t until) {
        for (int64_t i = from; i < until; ++i) {
          for (int64_t e = first[i]; e < first[i + 1]; ++e) {
            fetch(k + column[std::min(e + kAhead, entries - 1)] * heads, heads);
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
  return {scores, halves};
}

// Given the gradient f_n of a^T s_n and, if there is a second, that of a_2^T s_n: the gradient of
// s_n, which is f_n a (plus the other f_n a_2), and those of a and a_2, which are sum_n f_n s_n.
// `a` and `a_2` are at these offsets among the 2 dim numbers of each head.
template <typename T>
void products_backward(
    const T* f, const T* f_2, const T* states, const T* vectors, int64_t a, int64_t a_2,
    int64_t nodes, int64_t heads, int64_t dim, T* of_states, const Tensor& of_vectors) {
  constexpr int64_t kNodes = 256;  // whose terms are added up before they enter the sums
  with_size(dim, [=, &of_vectors](auto dim) {
    const int64_t width = 2 * heads * dim;
    at::parallel_for(0, nodes, kGrain / width + 1, [=, &of_vectors](int64_t from, int64_t until) {
      ThreadSum sum(of_vectors, width);
      std::vector<T> terms(width);
      for (int64_t n = from; n < until; ++n) {
        for (int64_t h = 0; h < heads; ++h) {
          const T factor = f[n * heads + h];
          const T* RESTRICT state = states + (n * heads + h) * dim;
          const T* RESTRICT vector = vectors + 2 * h * dim + a;
          T* RESTRICT of_state = of_states + (n * heads + h) * dim;
          T* RESTRICT of_vector = terms.data() + 2 * h * dim + a;
          SIMD
          for (int64_t d = 0; d < dim; ++d) {
            of_state[d] = factor * vector[d];
            of_vector[d] += factor * state[d];
          }
          if (f_2 == nullptr) continue;
          add_scaled(of_state, f_2[n * heads + h], vectors + 2 * h * dim + a_2, dim);
          add_scaled(terms.data() + 2 * h * dim + a_2, f_2[n * heads + h], state, dim);
        }
        if (n % kNodes == 0 || n + 1 == until) sum.add(terms);
      }
    });
  });
}

// The gradients of queries, keys, a and x. A score has the sign of the sum, whose gradient is added
// up for each row and for each column. Without keys, the gradient of the queries is that of both.
std::tuple<Tensor, Perhaps, Tensor, Tensor> gat_scores_backward(
    const Tensor& of_scores, const Tensor& scores, const Tensor& queries, const Perhaps& keys,
    const Tensor& a, double negative_slope, const Tensor& indptr, const Tensor& indices,
    const Tensor& column_indptr, const Tensor& order, const Tensor& rows) {
  const int64_t entries = indices.numel(), heads = queries.size(1), dim = queries.size(2);
  expect(of_scores, "gradient", {entries, heads});
  expect(scores, "scores", {entries, heads});
  expect_columns(column_indptr, order, rows, keys ? keys->size(0) : queries.size(0), entries);
  const Tensor given = of_scores.contiguous(), vectors = a.contiguous();
  const Tensor of_rows = queries.contiguous(), kept = scores.contiguous();
  const Tensor of_columns = keys ? keys->contiguous() : of_rows;
  // In a block there are more queries than rows, and the gradient of the others is zero.
  Tensor by_query = at::zeros({of_rows.size(0), heads}, queries.options());
  Tensor by_key = at::empty({of_columns.size(0), heads}, queries.options());
  Tensor of_terms = at::empty_like(given), of_queries = at::empty_like(of_rows);
  const Tensor of_a = thread_sums(heads, 2 * dim);
  Perhaps of_keys = keys ? Perhaps(at::empty_like(of_columns)) : std::nullopt;
  const int64_t *first = numbers<int64_t>(indptr), *entry = numbers<int64_t>(order);
  const int64_t* first_of_column = numbers<int64_t>(column_indptr);
  AT_DISPATCH_FLOATING_TYPES(queries.scalar_type(), "gat_scores_backward", [&] {
    const scalar_t *g = numbers<scalar_t>(given), *s = numbers<scalar_t>(kept);
    const scalar_t *vector = numbers<scalar_t>(vectors), slope = negative_slope;
    scalar_t* of_q = by_query.mutable_data_ptr<scalar_t>();
    scalar_t* of_k = by_key.mutable_data_ptr<scalar_t>();
    scalar_t* of_x = of_terms.mutable_data_ptr<scalar_t>();
    with_size(heads, [=, &indptr, &column_indptr](auto heads) {
      for_rows(indptr, entries, heads, [=](int64_t from, int64_t until) {
        for (int64_t i = from; i < until; ++i) {
          scalar_t* RESTRICT sum = of_q + i * heads;
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
            if (n + kAhead < entries) __builtin_prefetch(of_x + entry[n + kAhead] * heads);
            add_scaled(of_k + j * heads, scalar_t(1), of_x + entry[n] * heads, heads);
          }
        }
      });
    });
    const scalar_t* none = nullptr;
    products_backward(
        of_q, keys ? none : of_k, numbers<scalar_t>(of_rows), vector, 0, dim, of_rows.size(0),
        heads, dim, of_queries.mutable_data_ptr<scalar_t>(), of_a);
    if (keys)
      products_backward(
          of_k, none, numbers<scalar_t>(of_columns), vector, dim, dim, of_columns.size(0), heads,
          dim, of_keys->mutable_data_ptr<scalar_t>(), of_a);
  });
  return {of_queries, of_keys, of_a.sum(0).to(a.scalar_type()), of_terms};
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

// Divides the numbers of each row's entries by their sum.
void normalise(Tensor& weights, const Tensor& indptr) {
  const int64_t* first = numbers<int64_t>(indptr);
  AT_DISPATCH_FLOATING_TYPES(weights.scalar_type(), "normalise", [&] {
    scalar_t* w = weights.mutable_data_ptr<scalar_t>();
    with_size(weights.size(1), [=, &indptr, &weights](auto heads) {
      for_rows(indptr, weights.size(0), heads, [=](int64_t from, int64_t until) {
        std::vector<scalar_t> total(heads);
        for (int64_t i = from; i < until; ++i) {
          clear(total.data(), heads);
          for (int64_t e = first[i]; e < first[i + 1]; ++e)
            add_scaled(total.data(), scalar_t(1), w + e * heads, heads);
          // Divided, not multiplied by the inverse, so that the weight of an only entry is 1.
          for (int64_t e = first[i]; e < first[i + 1]; ++e)
            for (int64_t h = 0; h < heads; ++h) w[e * heads + h] /= total[h];
        }
      });
    });
  });
}

// alpha_ij = exp(e_ij) / sum_k exp(e_ik) and c_i = sum_j m_ij alpha_ij v_j, in each head.
std::tuple<Tensor, Tensor> softmax_and_sums(
    const Tensor& scores, const Tensor& values, const Perhaps& mask, bool subtract_maxima,
    const Tensor& indptr, const Tensor& indices) {
  expect_rows(indptr, indices);
  TORCH_CHECK(values.dim() == 3, "values: expected (nodes, heads, dim), got ", values.sizes());
  const int64_t heads = values.size(1), dim = values.size(2);
  expect(values, "values", values.sizes());
  expect(scores, "scores", {indices.numel(), heads});
  expect(mask, "mask", {indices.numel(), heads});
  const Tensor given = scores.contiguous(), of_columns = values.contiguous();
  Tensor weights = subtract_maxima ? below_maxima(given, indptr).exp_() : at::exp(given);
  normalise(weights, indptr);
  const Tensor carried = mask ? weights * mask->to(weights.scalar_type()) : weights;
  Tensor sums = at::empty({indptr.numel() - 1, heads, dim}, values.options());
  AT_DISPATCH_FLOATING_TYPES(values.scalar_type(), "softmax_and_sums", [&] {
    const Entries<scalar_t> entries{
        nullptr, numbers<int64_t>(indices), numbers<scalar_t>(carried),
        numbers<scalar_t>(of_columns), indices.numel(), heads, heads * dim};
    weighted_sums(indptr, entries, dim, sums.mutable_data_ptr<scalar_t>());
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
  expect(of_sums, "gradient", {indptr.numel() - 1, heads, dim});
  expect(of_weights, "gradient of the weights", {entries, heads});
  expect(weights, "weights", {entries, heads});
  expect_columns(column_indptr, order, rows, values.size(0), entries);
  const Tensor given = of_sums.contiguous(), of_columns = values.contiguous();
  const Tensor shares = weights.contiguous();
  const Perhaps kept = mask ? Perhaps(mask->to(weights.scalar_type()).contiguous()) : std::nullopt;
  const Perhaps used = of_weights ? Perhaps(of_weights->contiguous()) : std::nullopt;
  const Tensor carried = kept ? shares * *kept : shares;
  Tensor of_scores = at::empty_like(shares), of_values = at::empty_like(of_columns);
  const int64_t *first = numbers<int64_t>(indptr), *column = numbers<int64_t>(indices);
  AT_DISPATCH_FLOATING_TYPES(values.scalar_type(), "softmax_and_sums_backward", [&] {
    const scalar_t *g = numbers<scalar_t>(given), *v = numbers<scalar_t>(of_columns);
    const scalar_t *alpha = numbers<scalar_t>(shares), *m = numbers<scalar_t>(kept);
    const scalar_t* more = numbers<scalar_t>(used);
    scalar_t* of_e = of_scores.mutable_data_ptr<scalar_t>();
    with_size(dim, [=, &indptr](auto dim) {
      const int64_t width = heads * dim;
      for_rows(indptr, entries, width, [=](int64_t from, int64_t until) {
        std::vector<scalar_t> mean(heads);  // sum_k alpha_ik times the gradient of alpha_ik
        for (int64_t i = from; i < until; ++i) {
          clear(mean.data(), heads);
          for (int64_t e = first[i]; e < first[i + 1]; ++e) {
            const scalar_t* next = v + column[std::min(e + kAhead, entries - 1)] * width;
            for (int64_t h = 0; h < heads; ++h) {
              fetch(next + h * dim, dim);
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
    });
    const Entries<scalar_t> by_column{
        numbers<int64_t>(order), numbers<int64_t>(rows), numbers<scalar_t>(carried), g,
        entries, heads, heads * dim};
    weighted_sums(column_indptr, by_column, dim, of_values.mutable_data_ptr<scalar_t>());
  });
  return {of_scores, of_values};
}

// a^T LeakyReLU(q_i + k_j) for each entry (i, j), in each head.
Tensor gatv2_scores(
    const Tensor& queries, const Tensor& keys, const Tensor& a, double negative_slope,
    const Tensor& indptr, const Tensor& indices) {
  expect_rows(indptr, indices);
  TORCH_CHECK(a.dim() == 2, "a: expected (heads, dim), got ", a.sizes());
  const int64_t entries = indices.numel(), heads = a.size(0);
  expect(a, "a", a.sizes());
  expect(queries, "queries", {indptr.numel() - 1, a.numel()});
  expect(keys, "keys", {keys.size(0), a.numel()});
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
            const scalar_t* next = k + column[std::min(e + kAhead, entries - 1)] * width;
            for (int64_t h = 0; h < heads; ++h) {
              fetch(next + h * dim, dim);
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
  expect(of_scores, "gradient", {entries, heads});
  expect_columns(column_indptr, order, rows, keys.size(0), entries);
  const Tensor given = of_scores.contiguous(), vectors = a.contiguous();
  const Tensor of_rows = queries.contiguous(), of_columns = keys.contiguous();
  Tensor of_queries = at::empty_like(of_rows), of_keys = at::empty_like(of_columns);
  const Tensor of_a = thread_sums(heads, a.size(1));
  const int64_t *first = numbers<int64_t>(indptr), *column = numbers<int64_t>(indices);
  const int64_t *first_of_column = numbers<int64_t>(column_indptr);
  const int64_t *entry = numbers<int64_t>(order), *row = numbers<int64_t>(rows);
  AT_DISPATCH_FLOATING_TYPES(queries.scalar_type(), "gatv2_scores_backward", [&] {
    const scalar_t *q = numbers<scalar_t>(of_rows), *k = numbers<scalar_t>(of_columns);
    const scalar_t *vector = numbers<scalar_t>(vectors), *f = numbers<scalar_t>(given);
    const scalar_t slope = negative_slope;
    scalar_t* of_q = of_queries.mutable_data_ptr<scalar_t>();
    scalar_t* of_k = of_keys.mutable_data_ptr<scalar_t>();
    with_size(a.size(1), [=, &indptr, &column_indptr, &of_a](auto dim) {
      const int64_t width = heads * dim;
      for_rows(indptr, entries, width, [=, &of_a](int64_t from, int64_t until) {
        ThreadSum sum_of_a(of_a, width);
        std::vector<scalar_t> of_vector(width);
        for (int64_t i = from; i < until; ++i) {
          clear(of_q + i * width, width);
          for (int64_t e = first[i]; e < first[i + 1]; ++e) {
            const scalar_t* next = k + column[std::min(e + kAhead, entries - 1)] * width;
            for (int64_t h = 0; h < heads; ++h) {
              fetch(next + h * dim, dim);
              const scalar_t above = f[e * heads + h], below = slope * above;
              const scalar_t* RESTRICT of_i = q + i * width + h * dim;
              const scalar_t* RESTRICT of_j = k + column[e] * width + h * dim;
              scalar_t* RESTRICT sum = of_q + i * width + h * dim;
              scalar_t* RESTRICT weighted = of_vector.data() + h * dim;
              SIMD
              for (int64_t d = 0; d < dim; ++d) {
                const scalar_t z = of_i[d] + of_j[d], factor = z > 0 ? above : below;
                sum[d] += factor;
                weighted[d] += factor * z;
              }
            }
          }
          sum_of_a.add(of_vector);
          scalar_t* RESTRICT sum = of_q + i * width;
          SIMD
          for (int64_t d = 0; d < width; ++d) sum[d] *= vector[d];
        }
      });
      for_rows(column_indptr, entries, width, [=](int64_t from, int64_t until) {
        for (int64_t j = from; j < until; ++j) {
          clear(of_k + j * width, width);
          for (int64_t n = first_of_column[j]; n < first_of_column[j + 1]; ++n) {
            const int64_t soon = std::min(n + kAhead, entries - 1);
            const scalar_t* next = q + row[soon] * width;
            __builtin_prefetch(f + entry[soon] * heads);
            for (int64_t h = 0; h < heads; ++h) {
              fetch(next + h * dim, dim);
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
  return {of_queries, of_keys, of_a.sum(0).to(a.scalar_type())};
}

}  // namespace

TORCH_LIBRARY(gatutils, library) {
  library.def("gat_scores", &gat_scores);
  library.def("gat_scores_backward", &gat_scores_backward);
  library.def("softmax_and_sums", &softmax_and_sums);
  library.def("softmax_and_sums_backward", &softmax_and_sums_backward);
  library.def("gatv2_scores", &gatv2_scores);
  library.def("gatv2_scores_backward", &gatv2_scores_backward);
}
