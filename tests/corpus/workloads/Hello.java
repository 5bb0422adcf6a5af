// A thread pool, an HTTP server and its client, a child process.
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.concurrent.Callable;
import java.util.concurrent.Executors;
import java.util.stream.IntStream;

public class Hello {
    public static void main(String[] arguments) throws Exception {
        var pool = Executors.newFixedThreadPool(4);
        var tasks = IntStream.range(0, 8).mapToObj(i -> (Callable<Integer>) () -> i).toList();
        int sum = 0;
        for (var done : pool.invokeAll(tasks)) sum += done.get();
        pool.shutdown();
        System.out.println("sum " + sum);
        System.out.println("http " + served());
        System.out.println("child " + new ProcessBuilder("true").start().waitFor());
    }

    static int served() throws Exception {
        var server = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
        server.createContext("/", exchange -> { exchange.sendResponseHeaders(204, -1); exchange.close(); });
        server.start();
        var place = URI.create("http://127.0.0.1:" + server.getAddress().getPort() + "/");
        var answer = HttpClient.newHttpClient().send(HttpRequest.newBuilder(place).build(), BodyHandlers.discarding());
        server.stop(0);
        return answer.statusCode();
    }
}
